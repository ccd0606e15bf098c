//! Links the addon as Node needs it.

fn main() {
    napi_build::setup();
    // Node unloads an addon when the worker that loaded it last ends; threads, finalizers and clean-up hooks of
    // ours may still be about to run then.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

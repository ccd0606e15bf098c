//! Packets: what each shape gives, what each error says, and that all backends agree about all of it.

mod agree;
mod capture;
mod errors;
mod hash;
mod memory;
mod peers;
mod shapes;
mod support;

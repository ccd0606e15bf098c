//! Prints every error code as a JSON array, one object a line: `scripts/generate.mjs` reads it.

use wraith_transport::Code;

fn main() {
    let rows: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            let [name, summary, remedy] = [code.as_str(), code.summary(), code.remedy()].map(quoted);
            format!("  {{ \"code\": {name}, \"summary\": {summary}, \"remedy\": {remedy} }}")
        })
        .collect();
    println!("[\n{}\n]", rows.join(",\n"));
}

/// A JSON string: RFC 8259, section 7.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

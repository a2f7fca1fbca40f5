// Makes the Rust of our schemas, by protoc, from the .proto files that everybody has: none is written by hand or kept.
use std::io::Result;

fn main() -> Result<()> {
    let schemas = "../../proto";
    let files = ["dashstream/v1/dashstream.proto", "chat/v1/events.proto"];
    println!("cargo:rerun-if-changed={schemas}");
    prost_build::compile_protos(&files.map(|file| format!("{schemas}/{file}")), &[schemas])
}

//! Compiles `/proto` with protox: pure Rust, so a build needs no `protoc` on the machine.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;

/// Messages that carry a token or a session key. Their `Debug` is written by hand in
/// `src/redacted.rs`, so that no log line can show the secret.
const SECRET: [&str; 4] = [
    ".switchboard.api.v1.IssueTokenResponse",
    ".switchboard.client.v1.Open",
    ".switchboard.client.v1.Refresh",
    ".switchboard.client.v1.Subscribe",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    // Cargo looks through a directory's whole tree, so a new file is seen too. One level below the
    // root, so that an edit of PROTOCOL.md does not rebuild the workspace.
    println!(
        "cargo:rerun-if-changed={}",
        root.join("switchboard").display()
    );

    let mut files = Vec::new();
    collect(&root, &mut files)?;
    // The order of a directory is the file system's; the descriptor set should not depend on it.
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files)?;

    tonic_prost_build::configure()
        // A payload is a slice of the request it came in, not a copy.
        .bytes(".")
        // Tags in one order for everyone, whichever hash seed a process has.
        .btree_map(".")
        .skip_debug(SECRET)
        // The generator skips what is nested in a message along with it; this holds no secret.
        .type_attribute(".switchboard.client.v1.Subscribe.start", "#[derive(Debug)]")
        .compile_fds(compiler.file_descriptor_set())?;

    // Reflection has no use for comments, and they are most of the bytes.
    compiler.include_source_info(false);
    let descriptors = compiler.file_descriptor_set().encode_to_vec();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("switchboard.descriptors.bin"), descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}

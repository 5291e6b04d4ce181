//! Rust code generated from `/proto`: the control API (messages, servers, clients) and the
//! messages of the client protocol.
//!
//! Deliberately absent: conversions to and from core types (they belong to `api` and
//! `protocol`, which own the boundaries) and the JSON form of the client protocol.
//! `bytes` fields are [`bytes::Bytes`], slices of the message they were decoded from
//! when that was a `Bytes` too.
//!
//! To add a method or a message: edit the `.proto` file; the build script finds it. A new
//! package needs a module here, and a message that carries a secret a line in the build
//! script and a `Debug` in `redacted`.

mod redacted;

/// The control API.
pub mod api {
    /// Version 1, `switchboard.api.v1`.
    #[allow(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated: its docs are the comments in /proto, and what the generator adds has none"
    )]
    pub mod v1 {
        tonic::include_proto!("switchboard.api.v1");
    }
}

/// The client protocol.
pub mod client {
    /// Version 1, `switchboard.client.v1`.
    #[allow(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated: its docs are the comments in /proto, and what the generator adds has none"
    )]
    pub mod v1 {
        tonic::include_proto!("switchboard.client.v1");
    }
}

/// An encoded `google.protobuf.FileDescriptorSet` of everything in `/proto`, for gRPC
/// server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/switchboard.descriptors.bin"));

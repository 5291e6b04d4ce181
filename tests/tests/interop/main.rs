//! The hub among strangers: clients of other languages, curl, a proxy, and a browser.

mod browser;
mod compose;
mod curl;
mod grpc;
mod listeners;
mod proxies;

// Package switchboard is the client of the Switchboard realtime hub: a subscriber over WebSocket.
//
// A [Client] keeps a connection and comes back by itself; a [Subscription] outlives connections, and is read event by event. The control
// API for services, gRPC, is the package switchboard/service.
//
// Reading order: client.go (what an application holds), subscription.go, session.go (subscriptions across sessions), requests.go
// (commands that await a reply), connection.go (which session when), then what is decided without I/O: place.go, verdict.go,
// backoff.go; and the wire: frames.go, link.go. Not here: Server-Sent Events and long poll, which are for browsers behind proxies, and the
// protobuf format.
package switchboard

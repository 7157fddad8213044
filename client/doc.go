// Package client is the engine that terminals, browsers and bots share: it
// keeps one user's device on one server in step with the rooms it is in.
//
// It connects and reconnects, keeps a durable outbox and a timeline, drives
// the rooms' state machines, and tells a user interface about all of it in
// plain data (see [Request] and [Event]). It has no sockets, files or screens
// of its own: a [Dialer], a [Storage] and a consumer of events are handed in,
// so that the same code runs natively and in a browser's worker.
package client

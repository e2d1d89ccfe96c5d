// SPDX-License-Identifier: Apache-2.0

// Package network is the agent's funnel over requests and hellos.
//
// In comes every event (Layer.See); only HTTP requests, TLS and SSH hellos are looked
// at. Out come grey findings through Options.Found. Requests pass two stages, ordinary
// (microseconds, on the caller's goroutine) and application (the Core Rule Set,
// milliseconds, on the layer's own goroutine within a CPU quota); hellos pass
// fingerprint. It believes that the sensors have replaced secrets already, and that a
// request which several sensors saw is one request.
//
// The worst trap: the queue. It is bounded and each address may hold a quarter of it;
// what does not fit is not judged, which is counted and told on the health board and
// never taken for white.
package network

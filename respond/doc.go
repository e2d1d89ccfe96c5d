// SPDX-License-Identifier: Apache-2.0

// Package respond is the enforcer: it carries out orders, takes them back, lets them
// expire, and is the last to refuse one.
//
// In come orders; out go records, each written to a journal on this host's disk, with
// what undoes it, before anything is touched, and told as events. It believes what the
// kernel and /proc say of this host now, not what the order says of it: own addresses,
// the operator's sessions, declared peers and services that others use are refused here,
// after everything else. What it cannot learn it does not touch.
//
// The stage (observe, shadow, enforce) is read in one function, Enforcer.stage.
//
// The worst trap: an order that is delivered again. An id acts once; after it was undone
// by a person the same order must not do it again.
package respond

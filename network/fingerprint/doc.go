// SPDX-License-Identifier: Apache-2.0

// Package fingerprint names the program behind a TLS or SSH hello.
//
// In comes an event with JA3, JA3S, JA4, HASSH or HASSHServer; out comes white for a
// program known to be benign, grey with evidence for one known to be malicious, grey
// without for the unknown. Names come from the operator's files and from a look-up that
// the agent hands in; what this host itself sees often is remembered and doubts a list.
//
// It believes that a fingerprint is a prior and never a verdict: 67 of 98 JA3 of a
// public malware list also occur in ordinary traffic (network.md §0), so nothing here is
// black.
//
// The worst trap: Chrome orders its extensions anew in every connection, so its JA3
// mean nothing and fill memory. Memory is bounded and forgets.
package fingerprint

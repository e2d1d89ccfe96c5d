// SPDX-License-Identifier: Apache-2.0

// Package known tells files that somebody already vouched for, or warned of,
// from the rest: first stage of the file funnel, so that most files of a host
// are never scanned.
//
// In go a path, its identity on disk and its hashes; out comes white (content
// is what the package manager installed, or a listed hash), black (a listed
// hash) or grey with a reason. It believes dpkg's own records
// (/var/lib/dpkg: info/*.md5sums, status, diversions; dpkg(1), deb-md5sums(5))
// and, at the first look at a file, MD5, which nobody can find a second
// preimage for; from then on the SHA-256 seen at that look.
//
// The worst trap: during an upgrade files on disk are new while the records
// are old. A mismatch while dpkg holds its lock is therefore no evidence, only
// "look again". The other one: root can rewrite dpkg's records; a change of
// them by another program than dpkg is for the behaviour layer to see.
package known

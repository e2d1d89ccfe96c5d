// SPDX-License-Identifier: Apache-2.0

// Package file is the file funnel: what a host's files say about intrusion.
//
// In go paths (Judge.Path), bytes (Judge.Bytes) or a queue of paths (Queue);
// out comes a Result: colour, score, the stage that decided, evidence per
// engine, technique, family and the time each stage took. Stages, cheap first:
// known (package manifests, hash lists) and light (rules). It believes the
// bytes it read between two equal answers of fstat, and of a file's name only
// who would run it: an ending never makes a file harmless to a server that
// finds its tag in it, and its owner nothing.
//
// The worst trap: grey is not clean. A file that was too large, that changed
// while it was read, or whose scan ran into a bound is grey with Partial set;
// one that could not be opened is an error. Neither is ever white.
package file

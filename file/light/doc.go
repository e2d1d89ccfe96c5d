// SPDX-License-Identifier: Apache-2.0

// Package light runs rules, written as a subset of YARA text, over the bytes
// of one file, in pure Go.
//
// In go rule sources (Compile) and then file contents with a few facts about
// the file (Scanner.Scan); out come the rules that matched, with their meta,
// tags and the places where their strings were found. It believes that a rule
// means what Debian's yara 4.2 says it means: where the two could differ the
// rule is refused at compile time, by name and with line and column, never
// run with another meaning. A differential test holds it to that.
//
// A rule may name in meta reads the language it speaks of. With Vars.Filetype
// from KindOf it is then asked only on what that language's interpreter would
// run, and its match on a text of another language is a Mention, which
// convicts nobody: a manual, a log, a test case, a scanner's own rules.
//
// How it works: from each string a few rare bytes (atoms) are chosen; all
// atoms go into one Aho-Corasick automaton (Aho and Corasick, CACM 18(6),
// 1975) that folds ASCII case in its byte classes, so that one pass serves
// case-sensitive and case-free strings; each atom hit is then verified, plain
// text by comparison, hex strings and regular expressions by a forward and a
// backward Thompson simulation (CACM 11(6), 1968) from the atom outward, which
// is linear and cannot blow up.
//
// The worst trap: work per file is bounded. A file that runs into a bound has
// been looked at only in part, and Scanner.Work().Cut says so; who treats such
// a file as clean has been tricked.
package light

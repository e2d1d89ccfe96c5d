// SPDX-License-Identifier: Apache-2.0

// Package browser proves the console as a person meets it: Debian's Chromium on the pages
// that the binary serves, before a real brain.
//
// In go the binary, which its test builds, and the recorded intrusion of `ringwall demo`,
// told to the brain while a page is open; out comes the word of console.mjs, step by step.
// It believes what is on the page, and the API where the page says what it said.
//
// The worst trap: what a page shows at last proves nothing of when. A step waits for what
// must come, and never loads the page again unless that is what it proves.
package browser

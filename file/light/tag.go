// SPDX-License-Identifier: Apache-2.0

package light

import "bytes"

// This file finds the tag by which a server knows code in a page.

// tagged reports that a file named as a page of kind has code in it.
func tagged(data []byte, kind string) bool {
	if kind == "php" {
		return bytes.Contains(data, []byte("<?")) || phpScript(data)
	}
	if bytes.Contains(data, []byte("<%")) {
		return true
	}
	lower := bytes.ToLower(data[:min(len(data), 64<<10)])
	return bytes.Contains(lower, []byte("<jsp:")) || bytes.Contains(lower, []byte("runat=")) || bytes.Contains(lower, []byte("<script"))
}

// phpScript: PHP before 7 took this tag as well.
func phpScript(data []byte) bool {
	lower := bytes.ToLower(data[:min(len(data), 64<<10)])
	at := bytes.Index(lower, []byte("<script"))
	return at >= 0 && bytes.Contains(lower[at:min(len(lower), at+80)], []byte("php"))
}

// startsPHP reports that data begins with PHP, behind blanks, a byte order
// mark and the first line of a script.
func startsPHP(data []byte) bool {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(data, []byte("#!")) {
		_, data, _ = bytes.Cut(data[:min(len(data), 4096)], []byte{'\n'})
	}
	n, _ := phpTag(bytes.TrimLeft(data[:min(len(data), 4096)], " \t\r\n"))
	return n > 0
}

// phpTag gives the length of the PHP tag that data begins with, 0 if it does
// not; short is a tag that other texts have too.
func phpTag(data []byte) (n int, short bool) {
	switch {
	case len(data) < 3 || data[0] != '<' || data[1] != '?':
		return 0, false
	case len(data) >= 5 && bytes.EqualFold(data[2:5], []byte("php")):
		return 5, false
	case data[2] == '=' || data[2] == ' ' || data[2] == '\t' || data[2] == '\n' || data[2] == '\r':
		return 3, true
	}
	return 0, false
}

// pageTag finds the language of a text that a server might be handed: PHP
// wherever it stands, JSP and ASP only in what begins as a page does.
func pageTag(data []byte) string {
	for rest := data; ; {
		at := bytes.Index(rest, []byte("<?"))
		if at < 0 {
			break
		}
		if n, _ := phpTag(rest[at:]); n > 0 {
			return "php"
		}
		rest = rest[at+2:]
	}
	begin := bytes.TrimLeft(data[:min(len(data), 4096)], " \t\r\n\xef\xbb\xbf")
	if !bytes.HasPrefix(begin, []byte("<")) {
		return ""
	}
	if at := bytes.Index(data[:min(len(data), 64<<10)], []byte("<%")); at >= 0 || bytes.Contains(begin, []byte("<jsp:")) {
		return serverOf(data[max(at, 0):])
	}
	return ""
}

// guess is how many bytes serverOf looks at.
const guess = 4096

// serverOf guesses who runs a page with <% in it, "" if nothing says it.
func serverOf(page []byte) string {
	lower := bytes.ToLower(page[:min(len(page), guess)])
	has := func(words ...string) bool {
		for _, w := range words {
			if bytes.Contains(lower, []byte(w)) {
				return true
			}
		}
		return false
	}
	switch {
	case has("<jsp:", "java.", "request.get", "getruntime"):
		return "jsp"
	case has("<%@ page language=\"c#\"", "<%@ webhandler", "system."):
		return "aspx"
	case has("<%@ language=\"vbs", "server.createobject", "request(", "request.", "execute"):
		return "asp"
	}
	return ""
}

// hiddenTag finds a tag in binary data: one that text stands behind, since a
// short one alone stands in any 16 MiB of noise.
func hiddenTag(data []byte) string {
	guessed := 0 // serverOf has looked at what stands before
	for at := 0; ; at++ {
		next := bytes.IndexByte(data[at:], '<')
		if next < 0 {
			return ""
		}
		at += next
		if n, short := phpTag(data[at:]); n > 0 && codeFollows(data[at+n:], "?>", short) {
			return "php"
		}
		if at >= guessed && bytes.HasPrefix(data[at:], []byte("<%")) && codeFollows(data[at+2:], "%>", true) {
			if tag := serverOf(data[at:]); tag != "" {
				return tag
			}
			guessed = at + guess/2
		}
	}
}

// codeFollows reports that data goes on as text for 32 bytes or to the tag
// that ends the code. strict wants ASCII: noise has 32 such bytes once in
// 10^13 tries.
func codeFollows(data []byte, end string, strict bool) bool {
	data = data[:min(len(data), 32)]
	if at := bytes.Index(data, []byte(end)); at >= 0 {
		data = data[:at]
	}
	for _, c := range data {
		if controls[c] == 1 || strict && c >= 0x80 {
			return false
		}
	}
	return len(bytes.TrimSpace(data)) >= 4
}

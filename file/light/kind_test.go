// SPDX-License-Identifier: Apache-2.0

package light

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestKinds: what would run a file decides, not how it likes to begin.
func TestKinds(t *testing.T) {
	for _, c := range []struct{ extension, data, want string }{
		{"", "", "empty"},
		{".php", "<? echo 1;", "php"},
		{".php", "no tag", "php"},
		{".php", "PK\x03\x04\x00<?php echo 1;", "php-in-zip"},
		{".zip", "PK\x03\x04\x00<?php echo 1;", "zip"},
		{".gif", "GIF89a;<?php echo 1;", "php-in-gif"},
		{".gif", "GIF89a\x00\x01<?\x00\x01", "gif"},
		{".asp", "GIF89a\x00\x01<%eval request(1)%>", "asp-in-gif"},
		{".pdf", "%PDF-1.4 text" + strings.Repeat(" ", 4096) + "<?\t\x88lh\xda\x00`", "pdf"},
		{".jpg", "<?php echo 1;", "php"},
		{"", "text with <?php in it", "php"},
		{".md", "text with <?php in it", "prose"},
		{".md", "<?php echo 1;", "php"},
		{".py", "#!/usr/bin/python\nprint('<?php')", "py"},
		{".php", "#!/usr/bin/python\n<?php echo 1;", "php"},
		{"", "#!/usr/bin/env python3\nprint('<%')", "py"},
		{"", "#!/bin/sh\nexit\n\x00\x01\x02", "sh"},
		{".xml", "<?xml version='1.0'?>", "records"},
		{"", "\ufeff<%@ page import=\"java.util.*\" %>", "jsp"},
		{"", "a list of <%= tags %> in java.util", "text"},
		{".html", "<p><%= name %></p>", "html"},
		{".1", "192.0.2.1 - - [24/Nov/2026:11:00:00 +0000] \"GET /?a=<?php echo 1;\"\n", "records"},
		{".1", "Nov  4 11:00:00 web sshd[1]: x\nNov  4 11:00:01 web sshd[1]: y\n", "records"},
		{"", "type=EXECVE msg=audit(1.2:3): argc=1\n", "records"},
		{"", "{\"a\": 1}\n{", "records"},
		{"", "[\n  1]", "records"},
		{"", "{ bash -i; }\n", "text"},
		{"", "[ -f x ] && sh x\n", "text"},
		{"", "17 * * * * root run\n", "text"},
		{"", "192.0.2.1 web\nrun it\n", "text"},
		{"", "user|s:9:\"<?php 1;\"", "php"},
		{"", "MZ is how a program begins", "text"},
		{".pyc", "\xa7\r\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\xe3", "pyc"},
		{"", "\x00\x01\x02", "data"},
		{".log", "GET /\x00\x01", "records"},
		{"", "\xff\xfee\x00v\x00", "text"},
	} {
		if got := KindOf([]byte(c.data), c.extension); got != c.want {
			t.Errorf("%q named *%s: %q, want %q", c.data, c.extension, got, c.want)
		}
	}
}

// TestNoiseIsNoPage: compressed bytes have every short tag in them, and none
// of the rules on text may speak of them, whatever the magic before them.
func TestNoiseIsNoPage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	copy(noise[1<<20:], "<?=")
	copy(noise[2<<20:], "<%")
	copy(noise[3<<20:], "=~'\xb7")
	s := NewScanner(BuiltIn())
	for _, m := range append(append([]beginning{{"", "data"}}, images...), containers...) {
		for _, name := range []string{"", ".jpg", ".php"} {
			data := append([]byte(m.bytes), noise...)
			if kind := KindOf(data, name); strings.Contains(kind, "-in-") {
				t.Errorf("noise behind %q named *%s is taken for %s", m.bytes, name, kind)
			}
			if name == ".php" {
				continue // a server would try it
			}
			for _, m := range s.Scan(data, Vars{Filetype: KindOf(data, name)}) {
				t.Errorf("%v in noise: %v", m, m.Strings)
			}
		}
	}
}

func FuzzKindOf(f *testing.F) {
	f.Add([]byte("GIF89a\x00<?php echo 1;"), ".gif")
	f.Add([]byte("#!/bin/sh\n<%"), "")
	f.Add([]byte("PK\x03\x04<%request%>"), ".asp")
	f.Fuzz(func(t *testing.T, data []byte, extension string) {
		kind := KindOf(data, extension)
		if kind == "" {
			t.Error("no kind")
		}
		if isServer(endings[extension]) && bytes.Contains(data, []byte("<?php")) && !isBinary(data[:min(len(data), 4096)]) &&
			endings[extension] == "php" && read(kind, "php") != runs {
			t.Errorf("a server would run it, but it is %q", kind)
		}
		for _, l := range languages {
			read(kind, l)
		}
	})
}

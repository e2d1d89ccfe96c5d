// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"strings"
)

// magic is what begins a file, most telling first.
var magic = []struct{ begin, kind string }{
	{"\x7fELF", "elf"}, {"MZ", "pe"}, {"\xca\xfe\xba\xbe", "class"}, {"PK\x03\x04", "zip"}, {"\x1f\x8b", "gzip"},
	{"\xfd7zXZ\x00", "xz"}, {"BZh", "bzip2"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"7z\xbc\xaf\x27\x1c", "7z"}, {"Rar!", "rar"},
	{"\x89PNG", "png"}, {"\xff\xd8\xff", "jpeg"}, {"GIF8", "gif"}, {"%PDF", "pdf"}, {"RIFF", "riff"},
	{"!<arch>", "ar"}, {"\x00asm", "wasm"}, {"SQLite format 3\x00", "sqlite"},
}

var interpreters = []struct{ name, kind string }{
	{"bash", "sh"}, {"dash", "sh"}, {"zsh", "sh"}, {"ksh", "sh"}, {"/sh", "sh"}, {"busybox", "sh"}, {" sh", "sh"},
	{"python", "py"}, {"perl", "pl"}, {"php", "php"}, {"ruby", "rb"}, {"node", "js"}, {"lua", "lua"}, {"awk", "awk"},
}

var endings = map[string]string{
	".php": "php", ".phtml": "php", ".php3": "php", ".php4": "php", ".php5": "php", ".php7": "php", ".phar": "php", ".inc": "php",
	".jsp": "jsp", ".jspx": "jsp", ".jspf": "jsp", ".asp": "asp", ".asa": "asp", ".cer": "asp",
	".aspx": "aspx", ".ashx": "aspx", ".asmx": "aspx", ".ascx": "aspx",
	".sh": "sh", ".bash": "sh", ".py": "py", ".pl": "pl", ".pm": "pl", ".cgi": "cgi", ".rb": "rb", ".js": "js",
	".html": "html", ".htm": "html", ".service": "unit", ".timer": "unit",
}

// kindOf names what data is: by its first bytes, then by a server tag in its
// first 64 KiB, then by the ending of its name; "text", "data" or "empty" if
// nothing says more. An image with a server tag in it is what a server would
// run: php-in-gif.
func kindOf(data []byte, ext string) string {
	if len(data) == 0 {
		return "empty"
	}
	head := data[:min(len(data), 64<<10)]
	kind := ""
	for _, m := range magic {
		if bytes.HasPrefix(head, []byte(m.begin)) {
			kind = m.kind
			break
		}
	}
	tag := serverTag(head, endings[ext])
	switch {
	case kind != "" && tag == "php" && isImage(kind):
		return "php-in-" + kind
	case kind != "":
		return kind
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := bytes.Cut(head[:min(len(head), 256)], []byte{'\n'})
		for _, i := range interpreters {
			if strings.Contains(string(line), i.name) {
				return i.kind
			}
		}
		return "script"
	case tag != "":
		return tag
	case endings[ext] != "":
		return endings[ext]
	case bytes.IndexByte(head[:min(len(head), 4096)], 0) >= 0:
		return "data"
	}
	return "text"
}

func isImage(kind string) bool {
	return kind == "png" || kind == "jpeg" || kind == "gif" || kind == "riff"
}

// serverTag finds the language of a page.
func serverTag(head []byte, byName string) string {
	if bytes.Contains(head, []byte("<?php")) || bytes.Contains(head, []byte("<?=")) || byName == "php" && bytes.Contains(head, []byte("<?")) {
		return "php"
	}
	if !bytes.Contains(head, []byte("<%")) && !bytes.Contains(head, []byte("<jsp:")) {
		return ""
	}
	switch byName {
	case "jsp", "asp", "aspx":
		return byName
	}
	lower := bytes.ToLower(head[:min(len(head), 4096)])
	switch {
	case bytes.Contains(lower, []byte("<jsp:")), bytes.Contains(lower, []byte("java.")), bytes.Contains(lower, []byte("request.getparameter")):
		return "jsp"
	case bytes.Contains(lower, []byte("<%@ page language=\"c#\"")), bytes.Contains(lower, []byte("<%@ webhandler")), bytes.Contains(lower, []byte("system.")):
		return "aspx"
	case bytes.Contains(lower, []byte("<%@ language=\"vbs")), bytes.Contains(lower, []byte("server.createobject")), bytes.Contains(lower, []byte("request(")):
		return "asp"
	}
	return ""
}

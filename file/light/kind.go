// SPDX-License-Identifier: Apache-2.0

package light

import (
	"bytes"
	"cmp"
	"regexp"
	"strings"
)

type beginning struct{ bytes, kind string }

// What begins a file, most telling first. images are what sites let their
// users upload, so that code is hidden in them; containers hold other files,
// compiled code or records, and only their own reader opens them.
var (
	images = []beginning{
		{"\x89PNG", "png"}, {"\xff\xd8\xff", "jpeg"}, {"GIF8", "gif"}, {"RIFF", "riff"}, {"BM", "bmp"}, {"%PDF", "pdf"},
		{"\x00\x00\x01\x00", "ico"}, {"II*\x00", "tiff"}, {"MM\x00*", "tiff"},
	}
	containers = []beginning{
		{"\x7fELF", "elf"}, {"MZ", "pe"}, {"\xca\xfe\xba\xbe", "class"}, {"PK\x03\x04", "zip"}, {"\x1f\x8b", "gzip"},
		{"\xfd7zXZ\x00", "xz"}, {"BZh", "bzip2"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"7z\xbc\xaf\x27\x1c", "7z"}, {"Rar!", "rar"},
		{"!<arch>\n", "ar"}, {"go object ", "goobj"}, {"\x00asm", "wasm"}, {"SQLite format 3\x00", "sqlite"}, {"PAR1", "parquet"},
		{"\x04\x22\x4d\x18", "lz4"}, {"LZIP", "lzip"}, {"\xcf\xfa\xed\xfe", "macho"}, {"\xfe\xed\xfa\xcf", "macho"}, {"dex\n", "dex"},
		{"\xed\xab\xee\xdb", "rpm"}, {"070701", "cpio"}, {"hsqs", "squashfs"}, {"wOF", "font"}, {"OTTO", "font"}, {"PACK", "gitpack"},
		{"\xde\x12\x04\x95", "mo"}, {"\xd4\xc3\xb2\xa1", "pcap"}, {"\x0a\x0d\x0d\x0a", "pcap"},
	}
)

var interpreters = []struct{ name, kind string }{
	{"bash", "sh"}, {"dash", "sh"}, {"zsh", "sh"}, {"ksh", "sh"}, {"/sh", "sh"}, {"busybox", "sh"}, {" sh", "sh"},
	{"python", "py"}, {"perl", "pl"}, {"php", "php"}, {"ruby", "rb"}, {"node", "js"}, {"lua", "lua"}, {"awk", "awk"},
}

// endings by which a server or a shell picks the interpreter, and those of
// texts that none runs: sources to be compiled, prose, records.
var endings = func() map[string]string {
	out := map[string]string{}
	for _, line := range []string{
		"php .php .phtml .php3 .php4 .php5 .php7 .php8 .phps .pht .phar .inc", "jsp .jsp .jspx .jspf", "asp .asp .asa .cer .cdx",
		"aspx .aspx .ashx .asmx .ascx", "sh .sh .bash .zsh .ksh", "py .py .pyw", "pl .pl .pm", "cgi .cgi .fcgi", "rb .rb", "lua .lua .nse",
		"js .js .mjs .cjs", "html .html .htm .xhtml .shtml", "unit .service .timer .socket .path",
		"source .go .c .h .cc .cpp .cxx .hpp .java .kt .rs .ts .tsx .jsx .swift .cs .vb .scala .erl .ex .hs .ml .pas .s .asm .proto .sql .cmake .el .vim .pyi .pyx",
		"style .css .scss .less", "template .erb .ejs .hbs .j2 .mustache .tmpl",
		"prose .md .markdown .rst .adoc .tex .texi .pod .po .pot .eml .mbox .diff .patch",
		"records .json .jsonl .ndjson .yaml .yml .toml .xml .xsd .xsl .csv .tsv .log .lock .map .ipynb .yar .yara .rules .sarif .har .plist",
	} {
		words := strings.Fields(line)
		for _, ending := range words[1:] {
			out[ending] = words[0]
		}
	}
	return out
}()

// uploaded are the endings of images.
var uploaded = map[string]bool{
	".jpg": true, ".jpeg": true, ".png": true, ".gif": true, ".bmp": true, ".ico": true, ".webp": true, ".svg": true, ".tif": true, ".pdf": true,
}

// KindOf names what data is, for Vars.Filetype: elf, zip, php, sh, text…
// extension has its dot and is lower case. It asks who would run the file: a
// server goes by the ending and finds its tag wherever that stands, in an
// image too: php-in-gif; the kernel goes by the first line; whoever includes a
// file needs no ending, but a text of another language with a tag in its
// middle only talks of it. "data" is binary of no known kind.
func KindOf(data []byte, extension string) string {
	named, image := endings[extension], byMagic(data, images)
	switch {
	case len(data) == 0:
		return "empty"
	case isBinary(data[:min(len(data), 4096)]), image != "" && bytes.IndexByte(data, 0) >= 0: // a PDF may begin as text
		return binaryKind(data, named, extension)
	case isServer(named) && tagged(data, named):
		if image != "" {
			return named + "-in-" + image
		}
		return named
	case startsPHP(data):
		return "php"
	case bytes.HasPrefix(data, []byte("#!")):
		return interpreter(data)
	}
	if image != "" {
		if tag := hiddenTag(data); tag != "" {
			return tag + "-in-" + image
		}
	} else if named == "" || named == "html" || isServer(named) {
		if named == "" && isRecords(data) {
			return "records"
		}
		if tag := pageTag(data); tag != "" {
			return tag
		}
	}
	return cmp.Or(named, "text")
}

// recordLine is how a line of a log or of JSON begins: an object, a date as in
// RFC 3339, syslog and Apache, an address, a priority, the audit daemon's type.
var recordLine = regexp.MustCompile(`^\s*(\{\s*("|$)|\[\s*(\{|"|$)|[\[<(]?\d{4}[-/]\d\d[-/]\d\d|<?\d{1,3}>|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d|` +
	`\[?[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d |\d{1,3}(\.\d{1,3}){3}[ :]|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7} |type=[A-Z_]+ msg=|\d{10}[. ])`)

// isRecords reports that each of the first lines begins as a record: a rotated
// log has the ending .1, and holds what attackers have sent.
func isRecords(data []byte) bool {
	head, whole := data[:min(len(data), 4096)], len(data) <= 4096
	for n := 0; n < 4 && len(head) > 0; n++ {
		line, rest, ends := bytes.Cut(head, []byte{'\n'})
		if n > 0 && !ends && !whole {
			break // cut in the middle
		}
		head = rest
		switch {
		case n > 0 && len(bytes.TrimSpace(line)) == 0:
		case !recordLine.Match(line):
			return false
		case bytes.ContainsAny(bytes.TrimLeft(line, " ")[:1], "{["):
			return true // JSON goes on as it likes
		}
	}
	return true
}

func isServer(kind string) bool {
	return kind == "php" || kind == "jsp" || kind == "asp" || kind == "aspx"
}

func byMagic(data []byte, table []beginning) string {
	for _, m := range table {
		if bytes.HasPrefix(data, []byte(m.bytes)) {
			return m.kind
		}
	}
	return ""
}

// isBinary reports that head holds a zero byte, or more control characters
// than one in 16: compressed bytes have one in 10, text none. UTF-16 is text.
func isBinary(head []byte) bool {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return false
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return true
	}
	n := 0
	for _, c := range head {
		n += int(controls[c])
	}
	return n > len(head)/16
}

// controls is 1 for what text does not hold: all but tab, line and form feed,
// return, backspace and escape.
var controls = func() (is [256]uint8) {
	for c := range byte(' ') {
		is[c] = 1
	}
	is[0x7f] = 1
	for _, c := range "\t\n\r\f\b\x1b" {
		is[c] = 0
	}
	return
}()

// binaryKind is KindOf for binary data. An interpreter that is handed an
// image, or an archive under the name of a page or an image, runs the code in
// it; nobody hands it a program or an archive under its own name.
func binaryKind(data []byte, named, extension string) string {
	kind := byMagic(data, images)
	carrier := kind != "" || isServer(named) || uploaded[extension]
	if kind == "" {
		kind = byMagic(data, containers)
	}
	if kind == "" && compiledPython(data) {
		kind = "pyc"
	}
	if carrier || kind == "" {
		if tag := hiddenTag(data); tag != "" {
			return tag + "-in-" + cmp.Or(kind, "data")
		}
	}
	switch {
	case kind != "":
		return kind
	case bytes.HasPrefix(data, []byte("#!")):
		return interpreter(data) // an installer with its archive behind it
	}
	return cmp.Or(named, "data")
}

// compiledPython knows a .pyc of any version: a two-byte magic, CR LF (import.c
// and importlib/_bootstrap_external.py), then flags or a date.
func compiledPython(data []byte) bool {
	return len(data) >= 16 && data[2] == '\r' && data[3] == '\n' && bytes.IndexByte(data[4:16], 0) >= 0
}

func interpreter(data []byte) string {
	line, _, _ := bytes.Cut(data[:min(len(data), 256)], []byte{'\n'})
	for _, i := range interpreters {
		if strings.Contains(string(line), i.name) {
			return i.kind
		}
	}
	return "script"
}

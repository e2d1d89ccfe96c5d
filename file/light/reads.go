// SPDX-License-Identifier: Apache-2.0

package light

import "strings"

// A rule with meta reads = "php" speaks of what PHP runs. On a file that PHP
// would not run its strings prove nothing: compressed bytes hold every short
// one, and a manual or a test shows what an attack looks like. The rule is not
// asked on a container, and only mentions what it finds in a text of another
// language. A rule without reads, or on a file whose kind nobody told, means
// what YARA says it means.

// languages that reads may name. script is any program in text: of a shell, an
// interpreter, cron or systemd; shell is what a shell itself is handed. asp
// includes ASP.NET.
var languages = [...]string{"", "php", "jsp", "asp", "script", "shell", "py", "pl"}

type reading uint8

const (
	runs reading = iota
	mentions
	never
)

// runners lists by kind who would run such a file. Text of no known language
// may be anything that somebody hands to an interpreter, but no page.
var runners = map[string]string{
	"php": "php script", "jsp": "jsp script", "asp": "asp script", "aspx": "asp script", "html": "php",
	"sh": "script shell py pl", "cgi": "script shell py pl", "script": "script shell py pl", "unit": "script shell", "text": "php script shell py pl",
	"py": "script py", "pl": "script pl", "rb": "script", "js": "script", "lua": "script", "awk": "script",
}

// texts that nobody runs; a rule finds there what somebody wrote about. Binary
// data of no known kind may be text with something before it.
var spoken = map[string]bool{"source": true, "style": true, "template": true, "prose": true, "records": true, "data": true, "empty": true}

// read tells how a rule on language takes a file of kind.
func read(kind, language string) reading {
	if kind == "" || language == "" {
		return runs
	}
	if tag, _, ok := strings.Cut(kind, "-in-"); ok {
		kind = tag
		if language == "script" || language == "shell" {
			return never // the rest of an image is no script
		}
	}
	who, text := runners[kind]
	switch {
	case hasWord(who, language):
		return runs
	case !text && !spoken[kind]:
		return never
	case language == "jsp" || language == "asp":
		// Their tag stands in many templates.
		if isServer(kind) || kind == "html" || kind == "text" {
			return mentions
		}
		return never
	}
	return mentions
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// languageOf gives the index of meta reads; what is not known means all.
func languageOf(meta map[string]string) uint8 {
	for i, l := range languages {
		if l == meta["reads"] {
			return uint8(i)
		}
	}
	return 0
}

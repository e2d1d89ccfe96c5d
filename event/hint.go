// SPDX-License-Identifier: Apache-2.0

package event

// hint says which of the redactor's expressions could match a text at all. Nearly all
// text holds no word that a credential needs, and one look tells so at a hundredth of
// the cost of the expressions.
type hint uint8

const (
	mayPair hint = 1 << iota
	mayScheme
	mayFlag
	mayDigits
	mayShort
)

// hintWords are the words of the expressions in redact.go by first letter, lower case;
// TestHintsMissNothing compares.
var hintWords = func() (by [256][]hintWord) {
	add := func(h hint, words ...string) {
		for _, w := range words {
			by[w[0]] = append(by[w[0]], hintWord{w, h})
		}
	}
	add(mayPair, "pass", "pwd", "secret", "token", "api", "access", "auth", "credential", "session")
	add(mayScheme, "bearer", "basic", "digest", "negotiate")
	add(mayFlag, "sshpass", "redis-cli", "--pass", "--token", "--secret", "--auth", "--requirepass", "--api-key", "curl", "mysql", "auth")
	add(mayShort, "pin=", "pin%3d", "cvc=", "cvc%3d", "cvv", "otp=", "otp%3d", "pw=", "pw%3d", "sid=", "sid%3d", "sessid", "sessionid")
	return by
}()

type hintWord struct {
	word string
	hint hint
}

// hintsOf looks at a text once.
func hintsOf(s string) hint {
	var h hint
	digits := 0
	for i := 0; i < len(s); i++ {
		c := lowerByte(s[i])
		if '0' <= c && c <= '9' {
			digits++
			continue
		}
		for _, w := range hintWords[c] {
			if h&w.hint == 0 && hasPrefixFold(s[i:], w.word) {
				h |= w.hint
			}
		}
	}
	if digits >= 13 {
		h |= mayDigits
	}
	return h
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// hasPrefixFold compares with a lower-case ASCII word.
func hasPrefixFold(s, word string) bool {
	if len(s) < len(word) {
		return false
	}
	for i := range len(word) {
		if lowerByte(s[i]) != word[i] {
			return false
		}
	}
	return true
}

// secretWords are in every name that secretName matches.
var secretWords = []string{"pass", "pw", "secret", "token", "key", "auth", "credential", "sid", "sess", "csrf", "cvv", "cvc", "card", "pin", "otp"}

func maySecret(name string) bool {
	for i := range len(name) {
		for _, w := range secretWords {
			if hasPrefixFold(name[i:], w) {
				return true
			}
		}
	}
	return false
}

// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"context"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Argon is what a password hash costs (argon2id, RFC 9106).
type Argon struct {
	MemoryKiB uint32 // default 64 MiB
	Passes    uint32 // default 2
	Threads   uint8  // default 1
}

// The most that a stored hash may ask for; it is read from a file.
const (
	mostMemoryKiB = 1 << 20
	mostPasses    = 64
	saltLength    = 16
	hashLength    = 32
)

func (a *Argon) setDefaults() {
	a.MemoryKiB, a.Passes, a.Threads = cmp.Or(a.MemoryKiB, 64<<10), cmp.Or(a.Passes, 2), cmp.Or(a.Threads, 1)
}

func (a Argon) validate() error {
	if a.MemoryKiB > mostMemoryKiB || a.Passes > mostPasses || a.MemoryKiB < 8*uint32(a.Threads) {
		return fmt.Errorf("access.argon: %d KiB, %d passes, %d threads: want at most %d KiB and %d passes, and 8 KiB a thread", a.MemoryKiB, a.Passes, a.Threads, mostMemoryKiB, mostPasses)
	}
	return nil
}

// hasher hashes and checks passwords, two at a time: more would be a way to make the
// host run out of memory before anyone has signed in.
type hasher struct {
	cfg     Argon
	gate    chan struct{}
	waiting chan struct{}
	dummy   string // what a user who does not exist is checked against
}

func newHasher(cfg Argon) *hasher {
	h := &hasher{cfg: cfg, gate: make(chan struct{}, 2), waiting: make(chan struct{}, 32)}
	h.dummy = h.encode(random(saltLength), random(hashLength))
	return h
}

func (h *hasher) encode(salt, hash []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cfg.MemoryKiB, h.cfg.Passes, h.cfg.Threads, b64(salt), b64(hash))
}

func decode(stored string) (a Argon, salt, hash []byte, err error) {
	var version int
	part := strings.Split(stored, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" {
		return a, nil, nil, errors.New("a password hash of another kind than argon2id")
	}
	_, err1 := fmt.Sscanf(part[2], "v=%d", &version)
	_, err2 := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &a.MemoryKiB, &a.Passes, &a.Threads)
	salt, err3 := base64.RawStdEncoding.DecodeString(part[4])
	hash, err4 := base64.RawStdEncoding.DecodeString(part[5])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return a, nil, nil, fmt.Errorf("password hash: %w", err)
	}
	if version != argon2.Version || a.validate() != nil || a.Passes == 0 || a.Threads == 0 || len(salt) < 8 || len(hash) < 16 || len(hash) > 64 {
		return a, nil, nil, errors.New("password hash: values that this build never wrote")
	}
	return a, salt, hash, nil
}

// enter waits for a turn; ErrThrottled when too many wait already.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, &Throttled{RetryAfter: time.Second}
	}
	select {
	case h.gate <- struct{}{}:
		return func() { <-h.gate }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *hasher) make(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := random(saltLength)
	return h.encode(salt, argon2.IDKey([]byte(password), salt, h.cfg.Passes, h.cfg.MemoryKiB, h.cfg.Threads, hashLength)), nil
}

// check says whether password made stored. Without a stored hash it works as long and
// says no. old: it is right, and was made with other parameters than today's.
func (h *hasher) check(ctx context.Context, stored, password string) (right, old bool, err error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	a, salt, want, err := decode(cmp.Or(stored, h.dummy))
	if err != nil {
		return false, false, err
	}
	got := argon2.IDKey([]byte(password), salt, a.Passes, a.MemoryKiB, a.Threads, uint32(len(want)))
	right = subtle.ConstantTimeCompare(got, want) == 1 && stored != ""
	return right, right && a != h.cfg, nil
}

// Passwords have at least as many characters as this, and at most that many bytes.
const (
	minPassword = 12
	maxPassword = 1024
)

//go:embed common.txt
var commonText string

// common are the words that the commonest passwords are made of, in lower case; sorted
// when it is read, so the file may be kept by subject.
var common = func() []string {
	words := strings.FieldsFunc(commonText, func(r rune) bool { return r == '\n' })
	words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "#") })
	slices.Sort(words)
	return slices.Compact(words)
}()

// digits that stand for letters
var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// acceptable refuses passwords that are guessed first: too short, common words with
// numbers and signs around them, one piece over and over, a row of keys, or the user's
// own name. No rule on kinds of characters (NIST SP 800-63B §5.1.1.2).
func acceptable(password, name string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return input("a password must be text in UTF-8")
	case n < minPassword:
		return input("a password needs at least %d characters; a few words in a row are easy to keep", minPassword)
	case len(password) > maxPassword:
		return input("a password has at most %d bytes", maxPassword)
	}
	lower := strings.ToLower(password)
	for _, form := range []string{lower, leet.Replace(lower)} {
		if tooCommon(form, name) {
			return input("that password is among those guessed first; take a few words that do not belong together")
		}
	}
	return nil
}

// tooCommon: what is left when common words, the user's name, digits and signs are taken
// out is less than six letters, or the whole is a short piece repeated or a row.
func tooCommon(s, name string) bool {
	for period := 1; period <= 4; period++ {
		if strings.Repeat(s[:min(period, len(s))], len(s)/period+1)[:len(s)] == s {
			return true
		}
	}
	if isCommon(s) || isRow(s) {
		return true
	}
	if local, _, _ := strings.Cut(strings.ToLower(name), "@"); len(local) > 2 {
		s = strings.ReplaceAll(s, local, "")
	}
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	left := 0
	for _, w := range words {
		if !isCommon(w) && !isRow(w) && !twoCommon(w) {
			left += utf8.RuneCountInString(w)
		}
	}
	// Long ones of many words are fine even when each is common.
	return left < 6 && len(words) < 4 && !longDigits(s)
}

// longDigits: twelve digits and more that are no row may be random.
func longDigits(s string) bool {
	digits := 0
	for _, r := range s {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	return digits >= 12 && !isRow(s)
}

func isCommon(w string) bool { _, found := slices.BinarySearch(common, w); return found }

func twoCommon(w string) bool {
	for i := 3; i <= len(w)-3; i++ {
		if isCommon(w[:i]) && isCommon(w[i:]) {
			return true
		}
	}
	return false
}

// rows of keys and of the alphabet, each also backwards.
var rows = []string{"qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn", "abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p"}

func isRow(w string) bool {
	back := []rune(w)
	slices.Reverse(back)
	for _, row := range rows {
		if strings.Contains(row+row, w) || strings.Contains(row+row, string(back)) {
			return true
		}
	}
	return false
}

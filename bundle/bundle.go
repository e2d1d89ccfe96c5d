// SPDX-License-Identifier: Apache-2.0

// Package bundle makes, checks and keeps what an agent works from: policy, rules,
// models and exceptions, as one signed file that is taken whole or not at all. In go
// named contents and a signing key, or the bytes of a bundle from the bus or a file;
// out comes a Bundle whose every byte was signed for this tenant and group.
//
// It believes a manifest only after its signature, and a file only after the manifest's
// hash of it. A version only rises per tenant and group: going back is a new version
// with old content, so whoever holds an old bundle cannot play it again.
//
// Worst trap: a bundle that verifies may still not work (a rule that does not compile).
// Store.Apply lets the caller try it before it becomes the current one.
// docs/formats/bundle.md has the bytes.
package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// Bounds. A model is the largest file there is.
const (
	Format   = 1
	MaxBytes = 256 << 20 // of a whole bundle
	maxFiles = 4096
	maxName  = 200
	magic    = "RWBUNDL1"
)

// Errors to test for with errors.Is; those of a signature are identity's.
var (
	ErrMalformed   = errors.New("malformed bundle")
	ErrFormat      = errors.New("bundle of a newer format")
	ErrContent     = errors.New("content is not what was signed")
	ErrOlder       = errors.New("older than a bundle that was already taken")
	ErrReused      = errors.New("another bundle of the same version was already taken")
	ErrAgentTooOld = errors.New("bundle wants a newer agent")
	ErrNone        = errors.New("there is no usable bundle")
)

// File is one entry of the manifest.
type File struct {
	Name   string `json:"name"` // slash-separated, relative, clean: policy.yaml, rules/web.yar
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Manifest is the signed part.
type Manifest struct {
	Format   int             `json:"format"`
	Tenant   identity.Tenant `json:"tenant"`
	Group    identity.Group  `json:"group"`
	Version  uint64          `json:"version"`             // only rises; at least 1
	MinAgent string          `json:"min_agent,omitempty"` // semantic version, v1.2.3
	Created  time.Time       `json:"created"`
	Note     string          `json:"note,omitempty"` // why there is a new version
	Files    []File          `json:"files"`          // ascending by name
}

// Bundle is a verified bundle. It does not change. Safe for many goroutines.
type Bundle struct {
	Manifest
	// ID is the SHA-256 of the manifest, in hex: what findings record beside the version.
	ID    string
	raw   []byte
	files map[string][]byte
}

// File returns a file's content, which must not be changed.
func (b *Bundle) File(name string) ([]byte, bool) {
	content, ok := b.files[name]
	return content, ok
}

// Under returns the names below a folder ("rules/"), ascending.
func (b *Bundle) Under(folder string) (names []string) {
	for _, f := range b.Files {
		if strings.HasPrefix(f.Name, folder) {
			names = append(names, f.Name)
		}
	}
	return names
}

// Raw is the bundle as it travels.
func (b *Bundle) Raw() []byte { return b.raw }

// Ref is what findings record: group, version and the first 16 hex digits of the id.
func (b *Bundle) Ref() string { return Ref(b.Group, b.Version, b.ID) }

// Ref makes the reference to a bundle that is not at hand.
func Ref(g identity.Group, version uint64, id string) string {
	return fmt.Sprintf("%s/%d/%.16s", g, version, id)
}

// Content is a hash over names and contents: equal for bundles that say the same, whatever
// their version, time and note.
func (b *Bundle) Content() string { return ContentOf(b.MinAgent, b.files) }

// ContentOf is Content of what is not built yet.
func ContentOf(minAgent string, files map[string][]byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %q\n", Format, minAgent)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(files[name]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Build makes and signs a bundle of m's tenant, group, version, least agent and note,
// valid to be taken until m.Created+life; what was taken stays in use after that.
func Build(m Manifest, files map[string][]byte, key *identity.SigningKey, life time.Duration) ([]byte, error) {
	m.Format, m.Files, m.Created = Format, nil, m.Created.UTC()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		m.Files = append(m.Files, File{name, int64(len(files[name])), hex.EncodeToString(sum[:])})
	}
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("build bundle %s/%s version %d: %w", m.Tenant, m.Group, m.Version, err)
	}
	if err := m.validate(); err != nil {
		return fail(err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fail(err)
	}
	signed, err := key.Sign(identity.KindBundle, identity.Target{Tenant: m.Tenant, Group: m.Group}, m.Created, life, text)
	if err != nil {
		return fail(err)
	}
	raw := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(signed)))
	raw = append(raw, signed...)
	for _, f := range m.Files {
		raw = append(raw, files[f.Name]...)
	}
	if len(raw) > MaxBytes {
		return fail(fmt.Errorf("%d bytes are over %d MiB", len(raw), MaxBytes>>20))
	}
	return raw, nil
}

// Rebuild makes a new version with old content: how one goes back.
func Rebuild(old *Bundle, version uint64, note string, created time.Time, key *identity.SigningKey, life time.Duration) ([]byte, error) {
	m := old.Manifest
	m.Version, m.Note, m.Created = version, note, created
	return Build(m, old.files, key, life)
}

// Inspect reads a bundle of any tenant without believing that it was signed: for a person
// who wants to see what a file holds. That contents are those of the manifest is checked.
func Inspect(raw []byte) (*Bundle, identity.KeyID, error) {
	envelope, rest, err := split(raw)
	if err == nil {
		var key identity.KeyID
		var payload []byte
		if key, payload, err = identity.Peek(envelope); err == nil {
			var b *Bundle
			if b, err = read(raw, payload, rest); err == nil {
				return b, key, nil
			}
		}
	}
	return nil, "", fmt.Errorf("read bundle: %w", err)
}

// Open verifies a bundle. raw must not be changed afterwards: the files alias it. Now
// decides whether it is still valid to be taken.
func Open(raw []byte, v *identity.Verifier, now time.Time) (*Bundle, error) {
	b, err := open(raw, v, now)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	return b, nil
}

func open(raw []byte, v *identity.Verifier, now time.Time) (*Bundle, error) {
	envelope, rest, err := split(raw)
	if err != nil {
		return nil, err
	}
	signed, err := v.Verify(identity.KindBundle, envelope, now)
	if err != nil {
		return nil, err
	}
	b, err := read(raw, signed.Payload, rest)
	if err != nil {
		return nil, err
	}
	if b.Tenant != signed.Target.Tenant || b.Group != signed.Target.Group {
		return nil, fmt.Errorf("%w: manifest is of %s/%s, signed for %s", ErrMalformed, b.Tenant, b.Group, signed.Target)
	}
	return b, nil
}

// read takes a manifest and the contents that must be what it says.
func read(raw, manifest, rest []byte) (*Bundle, error) {
	b := &Bundle{raw: raw}
	if err := json.Unmarshal(manifest, &b.Manifest); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrMalformed, err)
	}
	if err := b.Manifest.validate(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(manifest)
	b.ID = hex.EncodeToString(sum[:])
	b.files = make(map[string][]byte, len(b.Files))
	for _, f := range b.Files {
		if f.Size > int64(len(rest)) {
			return nil, fmt.Errorf("%w: cut short in %s", ErrContent, f.Name)
		}
		content := rest[:f.Size:f.Size]
		rest = rest[f.Size:]
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != f.SHA256 {
			return nil, fmt.Errorf("%w: %s", ErrContent, f.Name)
		}
		b.files[f.Name] = content
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the last file", ErrContent, len(rest))
	}
	return b, nil
}

// split takes the signed manifest and the contents apart, believing neither.
func split(raw []byte) (envelope, contents []byte, err error) {
	head := len(magic) + 4
	if len(raw) > MaxBytes || len(raw) < head || string(raw[:len(magic)]) != magic {
		return nil, nil, fmt.Errorf("%w: %d bytes that do not begin as one", ErrMalformed, len(raw))
	}
	n := binary.BigEndian.Uint32(raw[len(magic):])
	if uint64(n) > uint64(len(raw)-head) {
		return nil, nil, fmt.Errorf("%w: cut short in its manifest", ErrMalformed)
	}
	return raw[head : head+int(n)], raw[head+int(n):], nil
}

// validate checks what must hold for every manifest, made or read.
func (m *Manifest) validate() error {
	if m.Format > Format {
		return fmt.Errorf("%w: format %d, and this is format %d", ErrFormat, m.Format, Format)
	}
	if m.Format < 1 || m.Version < 1 || len(m.Files) > maxFiles {
		return fmt.Errorf("%w: format %d, version %d, %d files", ErrMalformed, m.Format, m.Version, len(m.Files))
	}
	if _, err := identity.ParseTenant(string(m.Tenant)); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := identity.ParseGroup(string(m.Group)); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if m.MinAgent != "" && !validVersion(m.MinAgent) {
		return fmt.Errorf("%w: min_agent %.40q; want v1.2.3", ErrMalformed, m.MinAgent)
	}
	before, total := "", int64(0)
	names := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		names[f.Name] = true
	}
	for _, f := range m.Files {
		if !validName(f.Name) || f.Name <= before { // first: it bounds the length and with it the folders
			return fmt.Errorf("%w: file name %.200q", ErrMalformed, f.Name)
		}
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if names[dir] {
				return fmt.Errorf("%w: %.200q is both a file and a folder", ErrMalformed, dir)
			}
		}
		if f.Size < 0 || f.Size > MaxBytes-total {
			return fmt.Errorf("%w: %s brings it over %d MiB", ErrMalformed, f.Name, MaxBytes>>20)
		}
		before = f.Name
		total += f.Size
	}
	return nil
}

// validName keeps to names that mean the same everywhere and stay within a folder.
func validName(name string) bool {
	if name == "" || len(name) > maxName || name[0] == '/' || path.Clean(name) != name {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part[0] == '.' {
			return false
		}
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-/", c) >= 0) {
			return false
		}
	}
	return true
}

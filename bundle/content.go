// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What lies where in a bundle. docs/formats/bundle.md says what is in each.
const (
	PolicyFile     = "policy.yaml"     // decide.Policy, the brain's
	ExceptionsFile = "exceptions.yaml" // list of decide.Exception
	RedactionFile  = "redaction.yaml"  // Redaction
	ListsFile      = "lists.yaml"      // reputation.Config; its paths are names below Lists

	SigmaRules   = "rules/sigma/"  // *.yml, the brain's
	FileRules    = "rules/file/"   // *.yar
	Hashes       = "hashes/"       // lists of lines "SHA256 white|black [note]"
	Fingerprints = "fingerprints/" // *.txt
	Lists        = "lists/"        // what ListsFile names
)

// Redaction names the tenant's key for hashing credentials. The key itself is a secret
// and no part of a bundle: a host gets it in the answer to its enrolment, over TLS that is
// pinned to the brain and paid for with a one-time secret.
type Redaction struct {
	KeyID string `yaml:"key_id"` // event.Redactor's
}

// CleanName makes a name of a bundle of any path: what a name must not hold becomes '_'.
// Two paths may become one name.
func CleanName(path string) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	out := parts[:0]
	for _, p := range parts {
		p = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
				return r
			}
			return '_'
		}, p)
		if strings.HasPrefix(p, ".") {
			p = "_" + p[1:]
		}
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "/")
}

// Unpack writes the files below some folders of the bundle under dir (0700, files 0600).
// A kill may leave part of them: unpack into a folder that counts only when this is done.
func (b *Bundle) Unpack(dir string, folders ...string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("unpack bundle: %w", err)
	}
	for _, folder := range folders {
		for _, name := range b.Under(folder) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return fmt.Errorf("unpack bundle: %w", err)
			}
			if err := os.WriteFile(path, b.files[name], 0o600); err != nil {
				return fmt.Errorf("unpack bundle: %w", err)
			}
		}
	}
	return nil
}

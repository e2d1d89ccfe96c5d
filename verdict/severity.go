// SPDX-License-Identifier: Apache-2.0

package verdict

// Severity says a calibrated score in a word: of what is critical, at most one in twenty
// is a false alarm. The thresholds are the product's own; nothing is decided by them.
func Severity(score float64) string {
	switch {
	case score >= 0.95:
		return "critical"
	case score >= 0.8:
		return "high"
	case score >= 0.5:
		return "medium"
	}
	return "low"
}

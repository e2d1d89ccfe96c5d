// SPDX-License-Identifier: Apache-2.0

// Package ringwall is the root of the module: it holds no code, only the tests of
// the house rules (arch_test.go). Start with ARCHITECTURE.md.
package ringwall

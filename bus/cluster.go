// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"fmt"

	"github.com/ringwall/ringwall/identity"
)

// ClusterConfig is what the servers of an external cluster need in their configuration
// file to believe this Authority: the same that the embedded broker is given (trust). It
// holds no secret. Where accounts and streams lie is for whoever runs them to change.
func ClusterConfig(auth *identity.Authority) (string, error) {
	operator, systemID, system, err := auth.Operator()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`# For every server of the cluster. Beside it: listen, tls, cluster, server_name.
operator: %s
system_account: %s
resolver: { type: full, dir: "./accounts", allow_delete: false, interval: "2m" }
resolver_preload: { %s: %s }
jetstream: { store_dir: "./streams" }
max_payload: 1MB
`, operator, systemID, systemID, system), nil
}

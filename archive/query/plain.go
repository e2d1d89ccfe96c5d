// SPDX-License-Identifier: Apache-2.0

package query

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"github.com/duckdb/duckdb-go/v2"
)

// plain turns a DuckDB value into what JSON can say without loss: times as RFC 3339
// UTC, blobs as base64, 128-bit numbers and decimals as text, no number as null.
func plain(v any) any {
	switch v := v.(type) {
	case nil, bool, int8, int16, int32, int64, int, uint8, uint16, uint32, uint64:
		return v
	case string:
		if !utf8.ValidString(v) {
			return fmt.Sprintf("%+q", v)
		}
		return v
	case float32:
		return plain(float64(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return v
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999999999Z")
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case *big.Int:
		if v.IsInt64() {
			return v.Int64()
		}
		return v.String()
	case duckdb.UUID:
		return v.String()
	case duckdb.Decimal:
		return v.String()
	case duckdb.Interval:
		return fmt.Sprintf("%d months %d days %d us", v.Months, v.Days, v.Micros)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = plain(x)
		}
		return out
	}
	return fmt.Sprint(v)
}

// SPDX-License-Identifier: Apache-2.0

package application

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// bodyKind is the name of our body processor. The sensors have taken bodies apart
// already and the raw bytes are gone, so what they found is handed over as it is:
// Coraza's own multipart reader would need the bytes and writes files.
const bodyKind = "ringwall"

func init() {
	plugins.RegisterBodyProcessor(bodyKind, func() plugintypes.BodyProcessor { return body{} })
}

// The fields of the body that encode writes.
const (
	fieldQuery  = 'q' // name, value
	fieldPost   = 'p' // name, value
	fieldUpload = 'u' // field, file name
)

// encode writes parameters and uploads as kind byte, length, text, length, text.
func (in *inputs) encode() []byte {
	var b []byte
	add := func(kind byte, name, value string) {
		b = append(b, kind)
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		b = append(binary.AppendUvarint(b, uint64(len(value))), value...)
	}
	for _, p := range in.params {
		kind := byte(fieldPost)
		if p.query {
			kind = fieldQuery
		}
		add(kind, p.name, p.value)
	}
	for _, u := range in.uploads {
		add(fieldUpload, u.name, u.value)
	}
	return b
}

type body struct{}

// ProcessRequest reads what encode wrote into the collections of the request.
func (body) ProcessRequest(r io.Reader, v plugintypes.TransactionVariables, _ plugintypes.BodyProcessorOptions) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		kind := b[0]
		var name, value string
		var ok bool
		if name, b, ok = text(b[1:]); ok {
			value, b, ok = text(b)
		}
		if !ok {
			return errors.New("the request's own encoding ends early")
		}
		switch kind {
		case fieldQuery:
			v.ArgsGet().Add(name, value)
		case fieldPost:
			v.ArgsPost().Add(name, value)
		case fieldUpload:
			v.Files().Add("", value)
			v.FilesNames().Add("", name)
			v.MultipartName().Add(name, name)
			v.MultipartFilename().Add(name, value)
		default:
			return fmt.Errorf("the request's own encoding has a field of kind %q", kind)
		}
	}
	return nil
}

// ProcessResponse is never called: responses are not inspected.
func (body) ProcessResponse(io.Reader, plugintypes.TransactionVariables, plugintypes.BodyProcessorOptions) error {
	return nil
}

func text(b []byte) (string, []byte, bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return "", nil, false
	}
	return string(b[w : w+int(n)]), b[w+int(n):], true
}

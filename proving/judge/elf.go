// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
)

// smallest is the smallest program: it ends with status 0. What is measured is the watching of an
// exec; a dynamic loader's 500 µs of page faults would only be noise on top.
func smallest() ([]byte, error) {
	machine, code := uint16(0), []byte(nil)
	switch runtime.GOARCH {
	case "amd64":
		machine, code = 62, []byte{0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05} // xor edi,edi; mov eax,60; syscall
	case "arm64":
		machine, code = 183, []byte{0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4} // mov x0,0; mov x8,93; svc 0
	default:
		return nil, fmt.Errorf("no smallest program for %s", runtime.GOARCH)
	}
	const base, head = 0x400000, 64 + 56 // elf(5): the file's header and one program header
	size := uint64(head + len(code))
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, v := range []any{
		uint16(2), machine, uint32(1), uint64(base + head), uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(1), uint16(64), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000),
	} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.Write(code)
	return b.Bytes(), nil
}

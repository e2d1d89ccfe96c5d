// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
)

// The two examples of the README of salesforce/hassh (BSD-3).
const (
	duckKex  = "curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp521,ecdh-sha2-nistp384,ecdh-sha2-nistp256,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1,diffie-hellman-group14-sha1,diffie-hellman-group14-sha256,diffie-hellman-group15-sha512,diffie-hellman-group16-sha512,diffie-hellman-group17-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256@ssh.com,diffie-hellman-group15-sha256,diffie-hellman-group15-sha256@ssh.com,diffie-hellman-group15-sha384@ssh.com,diffie-hellman-group16-sha256,diffie-hellman-group16-sha384@ssh.com,diffie-hellman-group16-sha512@ssh.com,diffie-hellman-group18-sha512@ssh.com"
	duckEnc  = "aes128-cbc,aes128-ctr,aes192-cbc,aes192-ctr,aes256-cbc,aes256-ctr,blowfish-cbc,blowfish-ctr,cast128-cbc,cast128-ctr,idea-cbc,idea-ctr,serpent128-cbc,serpent128-ctr,serpent192-cbc,serpent192-ctr,serpent256-cbc,serpent256-ctr,3des-cbc,3des-ctr,twofish128-cbc,twofish128-ctr,twofish192-cbc,twofish192-ctr,twofish256-cbc,twofish256-ctr,twofish-cbc,arcfour,arcfour128,arcfour256"
	duckMAC  = "hmac-sha1,hmac-sha1-96,hmac-md5,hmac-md5-96,hmac-sha2-256,hmac-sha2-512"
	duckComp = "zlib@openssh.com,zlib,none"
	duckHash = "8a8ae540028bf433cd68356c1b9e8d5b" // CyberDuck Version 6.7.1 (28683)

	sshdKex  = "diffie-hellman-group-exchange-sha256,diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1,diffie-hellman-group1-sha1"
	sshdEnc  = "aes128-ctr,aes192-ctr,aes256-ctr,arcfour256,arcfour128,aes128-cbc,3des-cbc,blowfish-cbc,cast128-cbc,aes192-cbc,aes256-cbc,arcfour,rijndael-cbc@lysator.liu.se"
	sshdMAC  = "hmac-md5,hmac-sha1,umac-64@openssh.com,hmac-ripemd160,hmac-ripemd160@openssh.com,hmac-sha1-96,hmac-md5-96"
	sshdComp = "none,zlib@openssh.com"
	sshdRaw  = "diffie-hellman-group-exchange-sha256,diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1,diffie-hellman-group1-sha1;aes128-ctr,aes192-ctr,aes256-ctr,arcfour256,arcfour128,aes128-cbc,3des-cbc,blowfish-cbc,cast128-cbc,aes192-cbc,aes256-cbc,arcfour,rijndael-cbc@lysator.liu.se;hmac-md5,hmac-sha1,umac-64@openssh.com,hmac-ripemd160,hmac-ripemd160@openssh.com,hmac-sha1-96,hmac-md5-96;none,zlib@openssh.com"
)

// packet wraps a payload as RFC 4253 §6 does.
func packet(payload []byte) []byte {
	pad := 8 - (5+len(payload))%8
	if pad < 4 {
		pad += 8
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+pad))
	b = append(append(b, byte(pad)), payload...)
	return append(b, make([]byte, pad)...)
}

// kexinit puts the wanted lists in one direction and "none" in the other, so
// that a mix-up of directions shows.
func kexinit(kex, enc, mac, comp string, server bool) []byte {
	b := append([]byte{msgKexInit}, make([]byte, 16)...)
	lists := []string{kex, "ssh-rsa", enc, "x", mac, "x", comp, "x", "", ""}
	if server {
		lists = []string{kex, "ssh-rsa", "x", enc, "x", mac, "x", comp, "", ""}
	}
	for _, l := range lists {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(l))), l...)
	}
	return append(b, 0, 0, 0, 0, 0)
}

func TestPublishedHASSH(t *testing.T) {
	wire := append([]byte("SSH-2.0-Cyberduck/6.7.1.28683 (Mac OS X/10.13.6) (x86_64)\r\n"), packet(kexinit(duckKex, duckEnc, duckMAC, duckComp, false))...)
	for _, step := range []int{1, 5, 60, len(wire)} {
		var s Stream
		var done bool
		for c := range slices.Chunk(wire, step) {
			var err error
			if done, err = s.Feed(bytes.Clone(c)); err != nil {
				t.Fatal(err)
			}
		}
		if !done || s.KexInit == nil || s.Banner != "SSH-2.0-Cyberduck/6.7.1.28683 (Mac OS X/10.13.6) (x86_64)" {
			t.Fatalf("step %d: done %v, %+v", step, done, s)
		}
		if hash, raw := s.KexInit.HASSH(); hash != duckHash || raw != duckKex+";"+duckEnc+";"+duckMAC+";"+duckComp {
			t.Errorf("step %d: %s %s", step, hash, raw)
		}
	}
}

func TestPublishedHASSHServer(t *testing.T) {
	// Greeting lines may precede (RFC 4253 §4.2), and an IGNORE packet too.
	wire := append([]byte("Authorised use only.\r\nSSH-2.0-OpenSSH_5.3\n"), packet([]byte{2, 0, 0, 0, 0})...)
	wire = append(wire, packet(kexinit(sshdKex, sshdEnc, sshdMAC, sshdComp, true))...)
	var s Stream
	if done, err := s.Feed(wire); !done || err != nil || s.KexInit == nil {
		t.Fatal(done, err)
	}
	if _, raw := s.KexInit.HASSHServer(); raw != sshdRaw || s.Banner != "SSH-2.0-OpenSSH_5.3" {
		t.Errorf("%s %s", s.Banner, raw)
	}
}

func TestNotSSH(t *testing.T) {
	huge := binary.BigEndian.AppendUint32([]byte("SSH-2.0-x\r\n"), 0xfffffff0)
	for name, in := range map[string][]byte{
		"http":         append([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), bytes.Repeat([]byte("x"), 2*maxLine)...),
		"tls":          {0x16, 3, 1, 2, 0, 1},
		"huge packet":  append(huge, 4, 20),
		"endless text": bytes.Repeat([]byte("hello\n"), 2*maxGreeting/6),
		"endless packets": append([]byte("SSH-2.0-x\r\n"),
			bytes.Repeat(packet([]byte{2, 0, 0, 0, 0}), 2*MaxStream/16)...),
		"lists cut": append([]byte("SSH-2.0-x\r\n"), packet(append([]byte{msgKexInit}, make([]byte, 20)...))...),
	} {
		var s Stream
		if done, err := s.Feed(in); !done || err == nil {
			t.Errorf("%s: done %v, %v", name, done, err)
		}
	}
	var s Stream
	if done, err := s.Feed([]byte("SSH-1.5-1.2.27\n")); !done || err != nil || s.Banner != "SSH-1.5-1.2.27" {
		t.Errorf("SSH 1: done %v, %v, %q", done, err, s.Banner)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(append([]byte("SSH-2.0-x\r\n"), packet(kexinit("a", "b", "c", "d", false))...), uint16(3))
	f.Add([]byte("hi\nSSH-1.99-x\n\x00\x00\x00\x0c\x04\x14"), uint16(9))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		var whole, split Stream
		whole.Feed(b)
		n := min(int(cut), len(b))
		split.Feed(b[:n])
		split.Feed(b[n:])
		// A clear refusal may come earlier or later with the cut; what was read must agree.
		if whole.err == nil && split.err == nil && (whole.Banner != split.Banner || !reflect.DeepEqual(whole.KexInit, split.KexInit)) {
			t.Errorf("cut at %d: %+v and %+v", n, whole, split)
		}
		if whole.KexInit != nil {
			whole.KexInit.HASSH()
			whole.KexInit.HASSHServer()
		}
		ParseKexInit(b)
	})
}

func BenchmarkStream(b *testing.B) {
	wire := append([]byte("SSH-2.0-OpenSSH_9.2p1\r\n"), packet(kexinit(duckKex, duckEnc, duckMAC, duckComp, false))...)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		var s Stream
		s.Feed(wire)
		s.KexInit.HASSH()
	}
}

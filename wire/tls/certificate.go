// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"
)

// maxCertificates bounds the work on one chain; public chains have 2 to 5.
const maxCertificates = 16

// Certificate is one certificate as sent, unverified. When Err is set the
// bytes were no certificate that crypto/x509 accepts: then only SHA256 and Size hold.
type Certificate struct {
	SHA256    [32]byte // of the DER bytes
	Size      int      // bytes of DER
	Subject   string   // RFC 2253
	Issuer    string
	Serial    string // hexadecimal
	DNSNames  []string
	Addresses []string // iPAddress SANs as text
	NotBefore time.Time
	NotAfter  time.Time
	KeyType   string // "rsa2048", "ecdsa256", "ed25519" or the x509 name
	// SelfIssued: subject and issuer are the same bytes. The signature is not checked.
	SelfIssued bool
	Err        error
}

// ParseCertificates reads a Certificate message of TLS up to 1.2 (RFC 5246
// §7.4.2), 4-byte header included, leaf first, at most 16. On a cut list it
// gives those that were whole, and an error.
func ParseCertificates(handshake []byte) ([]Certificate, error) {
	r, err := message(handshake, typeCertificate, "certificates")
	if err != nil {
		return nil, err
	}
	stated := vec24len(r)
	if !r.ok || stated > len(r.b) {
		return nil, fmt.Errorf("parse certificates: list states %d bytes, %d are there: %w", stated, len(r.b), ErrNotTLS)
	}
	r.b = r.b[:stated]
	var chain []Certificate
	for len(r.b) > 0 && len(chain) < maxCertificates {
		der := r.take(vec24len(r))
		if !r.ok {
			return chain, fmt.Errorf("parse certificates: number %d is cut: %w", len(chain)+1, ErrNotTLS)
		}
		chain = append(chain, readCertificate(der))
	}
	return chain, nil
}

func vec24len(r *reader) int {
	b := r.take(3)
	if b == nil {
		return 0
	}
	return int(b[0])<<16 | int(b[1])<<8 | int(b[2])
}

func readCertificate(der []byte) Certificate {
	c := Certificate{SHA256: sha256.Sum256(der), Size: len(der)}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		c.Err = fmt.Errorf("parse certificate of %d bytes: %w", len(der), err)
		return c
	}
	c.Subject, c.Issuer = x.Subject.String(), x.Issuer.String()
	c.Serial = x.SerialNumber.Text(16)
	c.DNSNames = x.DNSNames
	for _, ip := range x.IPAddresses {
		c.Addresses = append(c.Addresses, ip.String())
	}
	c.NotBefore, c.NotAfter = x.NotBefore, x.NotAfter
	c.KeyType = keyType(x)
	c.SelfIssued = bytes.Equal(x.RawSubject, x.RawIssuer)
	return c
}

func keyType(x *x509.Certificate) string {
	switch k := x.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa%d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return fmt.Sprintf("ecdsa%d", k.Curve.Params().BitSize)
	case ed25519.PublicKey:
		return "ed25519"
	}
	return x.PublicKeyAlgorithm.String()
}

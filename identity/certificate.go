// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"
)

// Pin is the SHA-256 of a certificate's public key (SubjectPublicKeyInfo, as RFC 7469
// §2.4 pins). A new certificate with the same key keeps its pin.
type Pin [sha256.Size]byte

// MarshalText makes unpadded base64url.
func (p Pin) MarshalText() ([]byte, error) { return base64.RawURLEncoding.AppendEncode(nil, p[:]), nil }

// UnmarshalText reads it.
func (p *Pin) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != len(p) {
		return fmt.Errorf("%.60q is not a certificate pin", text)
	}
	copy(p[:], b)
	return nil
}

// ErrPin is wrapped when the other end shows another certificate than the pinned one.
var ErrPin = errors.New("certificate is not the pinned one: wrong address, or someone in between")

// serverName is in every certificate of ours. Names prove nothing here; the pin does.
const serverName = "ringwall"

// openCertificate reads tls.crt and tls.key, or makes a self-signed pair. Files put
// there by the user (of a real CA) are used as they are.
func openCertificate(dir string) (tls.Certificate, Pin, error) {
	fail := func(err error) (tls.Certificate, Pin, error) {
		return tls.Certificate{}, Pin{}, fmt.Errorf("certificate of the brain: %w", err)
	}
	keyPEM, err := loadOrMake(filepath.Join(dir, "tls.key"), func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
	})
	if err != nil {
		return fail(err)
	}
	certPEM, err := loadOrMake(filepath.Join(dir, "tls.crt"), func() ([]byte, error) { return selfSign(keyPEM) })
	if err != nil {
		return fail(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fail(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return fail(err)
	}
	return cert, sha256.Sum256(leaf.RawSubjectPublicKeyInfo), nil
}

func selfSign(keyPEM []byte) ([]byte, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("tls.key holds no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, is := parsed.(*ecdsa.PrivateKey)
	if !is {
		return nil, errors.New("tls.key is not an ECDSA key; put its tls.crt beside it")
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: serverName},
		DNSNames:     []string{serverName, "localhost"},
		NotBefore:    time.Now().Add(-24 * time.Hour), // agents' clocks may be behind
		NotAfter:     time.Now().AddDate(20, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// ServerTLS is how the brain listens. TLS 1.3 only: both ends are ours.
func (a *Authority) ServerTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.cert}, MinVersion: tls.VersionTLS13}
}

// PinnedTLS is how an agent connects: it believes the pinned keys and nothing else,
// neither names nor dates nor the system's authorities.
func PinnedTLS(pins ...Pin) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         serverName,
		InsecureSkipVerify: true, // VerifyConnection below is the verification
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return ErrPin
			}
			got := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
			for _, pin := range pins {
				if subtle.ConstantTimeCompare(got[:], pin[:]) == 1 {
					return nil
				}
			}
			return ErrPin
		},
	}
}

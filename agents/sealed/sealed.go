// Package sealed encrypts a secret to one node, so that only its runner can read it (HPKE, RFC 9180: X25519,
// HKDF-SHA256, AES-256-GCM, base mode). The name of the secret is bound to the result: what was sealed under one
// name does not open under another. It reads and writes no file and keeps nothing; Keys may be used by several goroutines.
package sealed

import (
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"fmt"
)

// Overhead is what sealing adds to a value, in bytes.
const Overhead = 32 + 16

// MaxValue bounds a secret in bytes. All of them are in the memory of every node, once for each that may read them.
const MaxValue = 4 << 10

// Key is the private key of a node's runner.
type Key struct{ private hpke.PrivateKey }

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

func info(name string) []byte { return []byte("quorate secret 1 " + name) }

// NewKey draws a key.
func NewKey() (*Key, error) {
	private, err := kem().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	return &Key{private}, nil
}

// ParseKey reads what Bytes returned. Errors do not show any of it.
func ParseKey(raw []byte) (*Key, error) {
	private, err := kem().NewPrivateKey(raw)
	if err != nil {
		return nil, errors.New("not a private X25519 key of 32 bytes")
	}
	return &Key{private}, nil
}

// Bytes returns the private key, to be stored.
func (k *Key) Bytes() ([]byte, error) { return k.private.Bytes() }

// Public returns the public key, for Seal.
func (k *Key) Public() []byte { return k.private.PublicKey().Bytes() }

// Seal encrypts a value to the owner of a public key.
func Seal(public []byte, name string, value []byte) ([]byte, error) {
	if len(value) == 0 || len(value) > MaxValue {
		return nil, fmt.Errorf("secret %s has %d bytes, must have 1 to %d", name, len(value), MaxValue)
	}
	key, err := kem().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("seal secret %s: the public key is malformed", name)
	}
	data, err := hpke.Seal(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info(name), value)
	if err != nil {
		return nil, fmt.Errorf("seal secret %s: %w", name, err)
	}
	return data, nil
}

// Open decrypts what was sealed to this key under that name.
func (k *Key) Open(name string, data []byte) ([]byte, error) {
	if len(data) <= Overhead || len(data) > MaxValue+Overhead {
		return nil, fmt.Errorf("sealed secret of %d bytes, must have %d to %d", len(data), Overhead+1, MaxValue+Overhead)
	}
	value, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), info(name), data)
	if err != nil {
		return nil, errors.New("it was sealed for another key of this node, or under another name: set it again")
	}
	return value, nil
}

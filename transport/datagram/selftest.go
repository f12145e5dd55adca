package datagram

import (
	"crypto/cipher"
	"errors"
	"fmt"

	"github.com/quorate/quorate/membership"
)

// ErrSelfTest: the cipher accepted a forged packet or refused a good one. The process must not go on.
var ErrSelfTest = errors.New("datagram self-test failed")

// SelfTest sends a good packet and forged ones through a pair of sessions with fixed keys: the good one must be opened, and each
// forged one dropped. A socket does it before it is opened, so that a fault which switches authentication off ends the start.
func SelfTest() error { return selfTest(nil) }

func selfTest(aead func([]byte) (cipher.AEAD, error)) error {
	pair := func(secret byte) (a, b *Session, err error) {
		if a, err = NewSession(Config{Local: 1, Peer: 2, aead: aead}); err != nil {
			return nil, nil, err
		}
		if b, err = NewSession(Config{Local: 2, Peer: 1, aead: aead}); err != nil {
			return nil, nil, err
		}
		for _, s := range []*Session{a, b} {
			if err := s.Install(Chain{Secret: [SecretSize]byte{secret}, Seq: 1}, 0); err != nil {
				return nil, nil, err
			}
		}
		return a, b, nil
	}
	a, b, err := pair(1)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfTest, err)
	}
	other, _, err := pair(2)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfTest, err)
	}
	const text = "self-test"
	seal := func(s *Session) []byte {
		p, e := s.Seal(nil, 0, []byte(text), 0)
		err = errors.Join(err, e)
		return p
	}
	good, foreign := seal(a), seal(other)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfTest, err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if _, r := b.Open(bad, 0, 0); r == Accepted {
			return fmt.Errorf("%w: a packet with byte %d changed was accepted", ErrSelfTest, i)
		}
	}
	// The sessions of the other secret number their epochs differently; the number of this one makes the tag decide.
	copy(foreign[2:4], good[2:4])
	if _, r := b.Open(foreign, 0, 0); r == Accepted {
		return fmt.Errorf("%w: a packet under another key was accepted", ErrSelfTest)
	}
	if _, r := b.Open(append([]byte(nil), good...), membership.LinkID(1), 0); r == Accepted {
		return fmt.Errorf("%w: a packet of another link was accepted", ErrSelfTest)
	}
	payload, r := b.Open(append([]byte(nil), good...), 0, 0)
	if r != Accepted || string(payload) != text {
		return fmt.Errorf("%w: a good packet was dropped (%v)", ErrSelfTest, r)
	}
	if _, r := b.Open(good, 0, 0); r == Accepted {
		return fmt.Errorf("%w: a packet was accepted twice", ErrSelfTest)
	}
	return nil
}

package keyring

import (
	"errors"
	"fmt"
	"io"
)

// Secret is a value that must not reach a log, a message or a document. Formatting it with any verb prints "[secret]",
// and encoding it as text fails.
type Secret []byte

// Format writes "[secret]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// MarshalText fails, so that no encoder writes the secret.
func (Secret) MarshalText() ([]byte, error) { return nil, errors.New("a secret can't be encoded") }

// MarshalJSON fails, as MarshalText does.
func (Secret) MarshalJSON() ([]byte, error) { return nil, errors.New("a secret can't be encoded") }

package sealed

import (
	"bytes"
	"strings"
	"testing"
)

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := ParseKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	data, err := Seal(key.Public(), "db", []byte("s3cret"))
	if err != nil || len(data) != len("s3cret")+Overhead || bytes.Contains(data, []byte("s3cret")) {
		t.Fatalf("Seal() = %x, %v", data, err)
	}
	if value, err := stored.Open("db", data); err != nil || string(value) != "s3cret" {
		t.Errorf("Open() = %q, %v", value, err)
	}
	if _, err := stored.Open("other", data); err == nil {
		t.Error("it opens under another name")
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open("db", data); err == nil {
		t.Error("another node opens it")
	}
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 1
		if _, err := stored.Open("db", changed); err == nil {
			t.Fatalf("it opens with byte %d changed", i)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Seal(key.Public(), "n", nil); err == nil {
		t.Error("an empty secret was sealed")
	}
	if _, err := Seal(key.Public(), "n", make([]byte, MaxValue+1)); err == nil {
		t.Error("a secret that is too long was sealed")
	}
	if _, err := Seal([]byte{1}, "n", []byte("v")); err == nil {
		t.Error("a malformed key was taken")
	}
	if _, err := ParseKey([]byte("ABCDEFG")); err == nil || strings.Contains(err.Error(), "ABC") {
		t.Errorf("ParseKey() = %v, want an error that does not show the key", err)
	}
	for _, n := range []int{0, Overhead, MaxValue + Overhead + 1} {
		if _, err := key.Open("n", make([]byte, n)); err == nil {
			t.Errorf("%d bytes were opened", n)
		}
	}
}

package transport

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseClusterID(t *testing.T) {
	t.Parallel()
	good := string(ClusterIDFromBytes([16]byte{1, 2, 3}))
	for _, tc := range []struct{ name, in, want string }{
		{"good", good, ""},
		{"empty", "", "has 0 characters, must have 26"},
		{"short", good[:25], "has 25 characters"},
		{"long", good + "a", "has 27 characters"},
		{"upper case", strings.ToUpper(good), "allowed are a-z and 2-7"},
		{"digit of no alphabet", "1" + good[1:], "at position 1"},
		{"newline", good[:25] + "\n", "at position 26"},
		{"loose bits", good[:25] + "b", "bits that must be zero"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			id, err := ParseClusterID(tc.in)
			if tc.want == "" {
				if err != nil || string(id) != tc.in {
					t.Fatalf("ParseClusterID(%q) = %q, %v, want it unchanged", tc.in, id, err)
				}
				return
			}
			if !errors.Is(err, ErrClusterID) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("ParseClusterID(%q) = %v, want ErrClusterID with %q", tc.in, err, tc.want)
			}
		})
	}
}

func TestClusterID_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "raw")
		id, err := NewClusterID(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		back, err := id.Bytes()
		if err != nil || !bytes.Equal(back[:], raw) {
			t.Fatalf("Bytes() = %x, %v, want %x", back, err, raw)
		}
		if len(id) > 63 {
			t.Fatalf("%q is no DNS label", id)
		}
	})
	if _, err := NewClusterID(bytes.NewReader(nil)); err == nil {
		t.Fatal("NewClusterID() of an empty source succeeded")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ got, want string }{
		{ClassControl.String(), "control"}, {ClassRaft.String(), "raft"}, {ClassClient.String(), "client"},
		{ClassBulk.String(), "bulk"}, {Class(9).String(), "class 9"},
		{RoleServer.String(), "server"}, {RoleClient.String(), "client"}, {Role(7).String(), "role 7"},
	} {
		if tc.got != tc.want {
			t.Errorf("String() = %q, want %q", tc.got, tc.want)
		}
	}
}

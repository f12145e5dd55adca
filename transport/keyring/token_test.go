package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

func newToken(t testing.TB, ca *CA, seed byte, node membership.NodeName) (Token, TokenRecord) {
	t.Helper()
	tok, rec, err := NewToken(TokenRequest{
		Cluster: ca.Cluster(), Pin: ca.Pin(), Node: node, Now: t0,
		Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5404"), netip.MustParseAddrPort("[2001:db8::1]:5404")},
	}, random(seed))
	if err != nil {
		t.Fatal(err)
	}
	return tok, rec
}

func tokenText(t testing.TB, tok Token) string {
	t.Helper()
	s, err := tok.Text()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestToken_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var addrs []netip.AddrPort
		for range rapid.IntRange(1, 3).Draw(t, "addresses") {
			var a netip.Addr
			if rapid.Bool().Draw(t, "v4") {
				a = netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "b"), 0, 1})
			} else {
				a = netip.AddrFrom16([16]byte{0xfd, rapid.Byte().Draw(t, "b"), 15: 1})
			}
			addrs = append(addrs, netip.AddrPortFrom(a, rapid.Uint16Range(1, 65535).Draw(t, "port")))
		}
		in := TokenRequest{
			Cluster:   transport.ClusterIDFromBytes([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "cluster"))),
			Pin:       Pin(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "pin")),
			Node:      "n",
			Addresses: addrs, Now: t0,
		}
		tok, _, err := NewToken(in, random(rapid.Byte().Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		text, err := tok.Text()
		if err != nil {
			t.Fatal(err)
		}
		for _, pasted := range []string{text, strings.ToLower(text), " " + text[:20] + "\r\n\t" + text[20:] + "\n"} {
			back, err := ParseToken(pasted)
			if err != nil {
				t.Fatalf("ParseToken(%q) = %v", pasted, err)
			}
			if again, err := back.Text(); err != nil || again != text {
				t.Fatalf("Text() after ParseToken() = %q, %v, want %q", again, err, text)
			}
		}
	})
}

func TestParseToken_Refusals(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	tok, _ := newToken(t, ca, 2, "n1")
	good := tokenText(t, tok)
	raw, err := tok.encode()
	if err != nil {
		t.Fatal(err)
	}
	raw = raw[:len(raw)-checksumSize]
	sealed := func(change func([]byte) []byte) string {
		b := change(bytes.Clone(raw))
		sum := tokenChecksum(b)
		return TokenPrefix + tokenEncoding.EncodeToString(append(b, sum[:]...))
	}
	for _, tc := range []struct {
		name, in string
		want     error
		text     string
	}{
		{"empty", "", ErrTokenMalformed, "begin with QRT1-"},
		{"other prefix", "QRT2-" + good[5:], ErrTokenMalformed, "begin with QRT1-"},
		{"prefix only", TokenPrefix, ErrTokenMalformed, "too short"},
		{"bad character", good[:30] + "1" + good[31:], ErrTokenMalformed, "character 26"},
		{"not ASCII", good[:30] + "é" + good[31:], ErrTokenMalformed, "character 26"},
		{"too long", good + strings.Repeat("A", 600), ErrTokenMalformed, "at most 512"},
		{"cut by one", good[:len(good)-1], ErrTokenChecksum, ""},
		{"cut by many", good[:53], ErrTokenMalformed, "too short"},
		{"one more", good + "A", ErrTokenChecksum, ""},
		{"no address", sealed(func(b []byte) []byte { b[48] = 0; return b[:49] }), ErrTokenMalformed, "0 member addresses"},
		{"four addresses", sealed(func(b []byte) []byte { b[48] = 4; return b }), ErrTokenMalformed, "4 member addresses"},
		{"address cut", sealed(func(b []byte) []byte { return b[:len(b)-1] }), ErrTokenMalformed, "address 2 is damaged"},
		{"address family", sealed(func(b []byte) []byte { b[49] = 5; return b }), ErrTokenMalformed, "address 1 is damaged"},
		{"port 0", sealed(func(b []byte) []byte { b[54], b[55] = 0, 0; return b }), ErrTokenMalformed, "has no port"},
		{"unspecified", sealed(func(b []byte) []byte { copy(b[50:54], "\x00\x00\x00\x00"); return b }), ErrTokenMalformed, "not the address of a host"},
		{"loose bytes", sealed(func(b []byte) []byte { return append(b, 0) }), ErrTokenMalformed, "1 bytes too many"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseToken(tc.in)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("ParseToken() = %v, want %v with %q", err, tc.want, tc.text)
			}
			if len(tc.in) > 40 && strings.Contains(err.Error(), tc.in[20:40]) {
				t.Fatalf("the error shows the token: %v", err)
			}
		})
	}
	// Every single wrong character is found.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	for i := len(TokenPrefix); i < len(good); i++ {
		c := alphabet[(strings.IndexByte(alphabet, good[i])+1)%32]
		if _, err := ParseToken(good[:i] + string(c) + good[i+1:]); !errors.Is(err, ErrTokenChecksum) {
			t.Fatalf("ParseToken() with character %d changed = %v, want %v", i, err, ErrTokenChecksum)
		}
	}
}

func TestNewToken_Refusals(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	good := TokenRequest{Cluster: ca.Cluster(), Pin: ca.Pin(), Node: "n1", Now: t0, Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5404")}}
	for _, tc := range []struct {
		name   string
		change func(*TokenRequest)
		want   string
	}{
		{"good", func(*TokenRequest) {}, ""},
		{"no name", func(r *TokenRequest) { r.Node = "" }, ""},
		{"bad name", func(r *TokenRequest) { r.Node = "-x" }, "name"},
		{"no address", func(r *TokenRequest) { r.Addresses = nil }, "0 member addresses"},
		{"zone", func(r *TokenRequest) { r.Addresses = []netip.AddrPort{netip.MustParseAddrPort("[fe80::1%eth0]:5404")} }, "has a zone"},
		{"invalid address", func(r *TokenRequest) { r.Addresses = []netip.AddrPort{{}} }, "not the address of a host"},
		{"negative life", func(r *TokenRequest) { r.Life = -1 }, "must be more than 0"},
		{"long life", func(r *TokenRequest) { r.Life = 48 * time.Hour }, "at most 24h"},
		{"bad cluster", func(r *TokenRequest) { r.Cluster = "x" }, "invalid cluster id"},
		{"mapped address", func(r *TokenRequest) {
			r.Addresses = []netip.AddrPort{netip.MustParseAddrPort("[::ffff:192.0.2.1]:5404")}
		}, ""},
	} {
		in := good
		tc.change(&in)
		_, _, err := NewToken(in, random(1))
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: NewToken() = %v, want %q", tc.name, err, tc.want)
		}
	}
	if _, _, err := NewToken(good, bytes.NewReader(nil)); err == nil {
		t.Error("NewToken() without randomness succeeded")
	}
}

func TestSecret_NotPrinted(t *testing.T) {
	t.Parallel()
	tok, _ := newToken(t, newCA(t, 1), 2, "n1")
	hex := fmt.Sprintf("%x", []byte(tok.Secret))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{tok, &tok, tok.Secret} {
			if s := fmt.Sprintf(format, v); !strings.Contains(s, "[secret]") || strings.Contains(s, hex) {
				t.Errorf("Sprintf(%q) = %s, want the secret hidden", format, s)
			}
		}
	}
	if b, err := json.Marshal(tok); err == nil {
		t.Errorf("json.Marshal() = %s, want an error", b)
	}
	if b, err := tok.Secret.MarshalText(); err == nil {
		t.Errorf("MarshalText() = %s, want an error", b)
	}
}

func TestCheckClaim(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	tok, rec := newToken(t, ca, 2, "n1")
	otherTok, otherRec := newToken(t, ca, 3, "n2")
	session := []byte("session one")
	claim := func(tok Token, node membership.NodeName) JoinClaim {
		c := JoinClaim{Node: node, Request: []byte("csr"), Info: []byte("info")}
		tok.Prove(&c, session)
		return c
	}
	records := []TokenRecord{otherRec, rec}
	used := []TokenRecord{{ID: rec.ID, StoredKey: rec.StoredKey, Node: rec.Node, Expires: rec.Expires, Used: true}}
	anyName := []TokenRecord{{ID: rec.ID, StoredKey: rec.StoredKey, Expires: rec.Expires}}
	stolen := tok
	stolen.Secret = Secret(rec.StoredKey[:16]) // whoever has only the record
	forged := claim(tok, "n1")
	forged.Proof = mac(rec.StoredKey[:], forged.message(session)) // the proof that the record alone allows to make

	with := func(change func(*JoinClaim)) JoinClaim { c := claim(tok, "n1"); change(&c); return c }
	for _, tc := range []struct {
		name    string
		records []TokenRecord
		claim   JoinClaim
		session string
		now     time.Time
		want    error
		index   int
	}{
		{"good", records, claim(tok, "n1"), "session one", t0, nil, 1},
		{"other good", records, claim(otherTok, "n2"), "session one", t0, nil, 0},
		{"at the last moment", records, claim(tok, "n1"), "session one", rec.Expires, nil, 1},
		{"expired", records, claim(tok, "n1"), "session one", rec.Expires.Add(1), ErrTokenExpired, 0},
		{"used", used, claim(tok, "n1"), "session one", t0, ErrTokenUsed, 0},
		{"any node name", anyName, claim(tok, "n2"), "session one", t0, nil, 0},
		{"other node name", records, claim(tok, "n2"), "session one", t0, ErrTokenNode, 0},
		{"other session", records, claim(tok, "n1"), "session two", t0, ErrTokenUnknown, 0},
		{"no records", nil, claim(tok, "n1"), "session one", t0, ErrTokenUnknown, 0},
		{"wrong secret", records, claim(stolen, "n1"), "session one", t0, ErrTokenUnknown, 0},
		{"proof from the record", records, forged, "session one", t0, ErrTokenUnknown, 0},
		{"other cluster", records, with(func(c *JoinClaim) { c.Cluster = newCA(t, 2).Cluster() }), "session one", t0, ErrTokenCluster, 0},
		{"name changed after the proof", records, with(func(c *JoinClaim) { c.Node = "n2" }), "session one", t0, ErrTokenUnknown, 0},
		{"request changed", records, with(func(c *JoinClaim) { c.Request = []byte("mine") }), "session one", t0, ErrTokenUnknown, 0},
		{"info changed", records, with(func(c *JoinClaim) { c.Info = nil }), "session one", t0, ErrTokenUnknown, 0},
		{"proof changed", records, with(func(c *JoinClaim) { c.Proof[31] ^= 1 }), "session one", t0, ErrTokenUnknown, 0},
		{"id of another token", records, with(func(c *JoinClaim) { c.TokenID = otherRec.ID }), "session one", t0, ErrTokenUnknown, 0},
		{"wrong proof of a used token tells nothing", used, claim(stolen, "n1"), "session one", t0, ErrTokenUnknown, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			i, err := CheckClaim(ca.Cluster(), tc.records, &tc.claim, []byte(tc.session), tc.now)
			if !errors.Is(err, tc.want) || tc.want == nil && err != nil || i != tc.index {
				t.Fatalf("CheckClaim() = %d, %v, want %d, %v", i, err, tc.index, tc.want)
			}
		})
	}
}

func TestOpenTokens(t *testing.T) {
	t.Parallel()
	a := TokenRecord{Expires: t0.Add(time.Minute)}
	b := TokenRecord{Expires: t0.Add(time.Hour), Used: true}
	for _, tc := range []struct {
		name    string
		records []TokenRecord
		now     time.Time
		want    bool
	}{
		{"none", nil, t0, false}, {"one", []TokenRecord{a}, t0, true}, {"used", []TokenRecord{b}, t0, true},
		{"expired", []TokenRecord{a, b}, t0.Add(2 * time.Hour), false},
	} {
		if open := OpenTokens(tc.records, tc.now); open != tc.want {
			t.Errorf("%s: OpenTokens() = %v, want %v", tc.name, open, tc.want)
		}
	}
}

func TestToken_VerifyServer(t *testing.T) {
	t.Parallel()
	ca := newCA(t, 1)
	n := newNode(t, ca, 1, t0)
	tok, _ := newToken(t, ca, 2, "n9")
	mitm := newCA(t, 4)
	mitmNode := newNode(t, mitm, 1, t0)
	twin, err := NewCA(ca.Cluster(), t0, random(9))
	if err != nil {
		t.Fatal(err)
	}
	twinNode := newNode(t, twin, 1, t0)
	elsewhere := tok
	elsewhere.Cluster = mitm.Cluster()
	for _, tc := range []struct {
		name  string
		tok   Token
		chain [][]byte
		want  error
	}{
		{"good", tok, [][]byte{n.Server, ca.Certificate()}, nil},
		{"no CA shown", tok, [][]byte{n.Server}, ErrTokenPin},
		{"nothing shown", tok, nil, ErrChain},
		{"man in the middle", tok, [][]byte{mitmNode.Server, mitm.Certificate()}, ErrTokenPin},
		{"man in the middle shows the real CA", tok, [][]byte{mitmNode.Server, ca.Certificate()}, ErrTokenCluster},
		{"the same with the cluster's id", tok, [][]byte{twinNode.Server, ca.Certificate()}, ErrChain},
		{"the same with his CA between", tok, [][]byte{twinNode.Server, twin.Certificate(), ca.Certificate()}, ErrChain},
		{"client certificate", tok, [][]byte{n.Client, ca.Certificate()}, ErrRole},
		{"CA as server", tok, [][]byte{ca.Certificate(), ca.Certificate()}, ErrForm},
		{"token of another cluster with this CA", elsewhere, [][]byte{n.Server, ca.Certificate()}, ErrTokenCluster},
	} {
		if err := tc.tok.VerifyServer(tc.chain); !errors.Is(err, tc.want) || tc.want == nil && err != nil {
			t.Errorf("%s: VerifyServer() = %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	var a Attempts
	now := membership.Instant(0)
	for i := range MaxWrongTries {
		if d := a.Allow(now); d != 0 {
			t.Fatalf("Allow() before try %d = %v, want 0", i+1, d)
		}
		a.Fail(now)
		now = now.Add(time.Second)
	}
	if d, want := a.Allow(now), TryWindow-time.Second; d != want {
		t.Fatalf("Allow() after %d wrong tries = %v, want %v", MaxWrongTries, d, want)
	}
	// The next series doubles the pause, up to the limit.
	for _, want := range []time.Duration{2 * TryWindow, 4 * TryWindow, 8 * TryWindow, MaxTryPause, MaxTryPause} {
		now = a.Until
		for range MaxWrongTries {
			a.Fail(now)
		}
		if d := a.Allow(now); d != want {
			t.Fatalf("Allow() = %v, want %v", d, want)
		}
	}
	// After a long quiet time, the pauses are short again.
	now = a.Until.Add(MaxTryPause + 1)
	for range MaxWrongTries {
		a.Fail(now)
	}
	if d := a.Allow(now); d != TryWindow {
		t.Fatalf("Allow() after a quiet time = %v, want %v", d, TryWindow)
	}
	// Slow typing errors never pause.
	var slow Attempts
	for range 100 {
		slow.Fail(now)
		now = now.Add(TryWindow)
		if d := slow.Allow(now); d != 0 {
			t.Fatalf("Allow() for one wrong try a minute = %v, want 0", d)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	tok, _ := newToken(f, newCA(f, 1), 2, "n1")
	f.Add(tokenText(f, tok))
	f.Add("QRT1-")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(s)
		if err != nil {
			if !errors.Is(err, ErrTokenMalformed) && !errors.Is(err, ErrTokenChecksum) {
				t.Fatalf("ParseToken() = %v, want a named refusal", err)
			}
			return
		}
		text, err := tok.Text()
		if err != nil {
			t.Fatalf("Text() of a parsed token = %v", err)
		}
		if _, err := ParseToken(text); err != nil {
			t.Fatalf("ParseToken() of its own text = %v", err)
		}
	})
}

// FuzzVerify feeds foreign bytes as a certificate: the goal is that no input panics and none is accepted.
func FuzzVerify(f *testing.F) {
	ca := newCA(f, 1)
	n := newNode(f, ca, 1, t0)
	tr := trustOf(f, ca, n)
	f.Add(n.Client[:40])
	f.Add(ca.Certificate())
	f.Add(n.Server)
	f.Fuzz(func(t *testing.T, der []byte) {
		id, err := tr.Verify([][]byte{der}, transport.RoleClient, t0)
		if err == nil && !bytes.Equal(der, n.Client) {
			t.Fatalf("Verify() accepted foreign bytes as node %d", id.Node)
		}
		_, _ = ParseRequest(der)
	})
}

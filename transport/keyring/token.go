package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Refusals of join tokens.
var (
	// ErrTokenMalformed: the text is no token.
	ErrTokenMalformed = errors.New("malformed join token")
	// ErrTokenChecksum: the text looks like a token, but a character is wrong or missing.
	ErrTokenChecksum = errors.New("join token has a typing error (checksum)")
	// ErrTokenUnknown: the cluster knows no token with this secret.
	ErrTokenUnknown = errors.New("unknown join token")
	// ErrTokenExpired: the time for the token is over.
	ErrTokenExpired = errors.New("join token has expired")
	// ErrTokenUsed: somebody joined with the token before.
	ErrTokenUsed = errors.New("join token was used before")
	// ErrTokenCluster: the token is of another cluster.
	ErrTokenCluster = errors.New("join token is of another cluster")
	// ErrTokenNode: the token was made for another node name.
	ErrTokenNode = errors.New("join token is for another node name")
	// ErrTokenPin: the server is not the cluster that made the token.
	ErrTokenPin = errors.New("server does not have the CA that the join token names")
)

// Limits of tokens.
const (
	// TokenPrefix begins each token; the digit is the version of the form.
	TokenPrefix = "QRT1-"
	// TokenLife is how long a token is good for, unless the caller says otherwise.
	TokenLife = 15 * time.Minute
	// MaxTokenLife is the longest life that NewToken accepts.
	MaxTokenLife = 24 * time.Hour
	// MaxTokenAddresses is the largest number of member addresses in a token.
	MaxTokenAddresses = 3
	// maxTokenText bounds a text before it is looked at. A token has at most 185 characters; the rest is
	// room for line breaks and blanks from pasting.
	maxTokenText = 512

	secretSize   = 16
	pinSize      = 16
	checksumSize = 4
)

var tokenEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Pin is the first half of the SHA-256 of a CA's public key.
type Pin [pinSize]byte

// PinOf returns the pin of a public key in X.509 form (SubjectPublicKeyInfo).
func PinOf(spki []byte) Pin {
	sum := sha256.Sum256(spki)
	return Pin(sum[:pinSize])
}

// Token is a join token as the joining side has it. String gives the text to paste, which is a secret.
type Token struct {
	Cluster   transport.ClusterID
	Secret    Secret // 16 bytes
	Pin       Pin
	Addresses []netip.AddrPort // 1 to 3 members, for the stream port
}

// TokenRecord is a join token as the cluster stores it. It can't be used to join.
type TokenRecord struct {
	// ID finds the record; it is a hash of the secret.
	ID [8]byte
	// StoredKey is SHA-256 of the key that the joiner proves to have.
	StoredKey [32]byte
	// Node is the only name under which the token lets a node join; "" = the first who uses it chooses.
	Node membership.NodeName
	// Expires is the end of its life, UTC.
	Expires time.Time
	// Used says that a node joined with it.
	Used bool
}

// TokenRequest says which token to make.
type TokenRequest struct {
	Cluster   transport.ClusterID
	Pin       Pin
	Node      membership.NodeName
	Addresses []netip.AddrPort
	Now       time.Time
	// Life is at most MaxTokenLife; 0 means TokenLife.
	Life time.Duration
}

// NewToken makes a token with a secret from random, and the record of it that the cluster stores.
func NewToken(in TokenRequest, random io.Reader) (Token, TokenRecord, error) {
	fail := func(err error) (Token, TokenRecord, error) {
		return Token{}, TokenRecord{}, fmt.Errorf("make a join token: %w", err)
	}
	if in.Life == 0 {
		in.Life = TokenLife
	}
	if in.Life < 0 || in.Life > MaxTokenLife {
		return fail(fmt.Errorf("life %v, must be more than 0 and at most %v", in.Life, MaxTokenLife))
	}
	if in.Node != "" {
		if err := in.Node.Validate(); err != nil {
			return fail(err)
		}
	}
	tok := Token{Cluster: in.Cluster, Pin: in.Pin, Secret: make(Secret, secretSize)}
	for _, a := range in.Addresses {
		tok.Addresses = append(tok.Addresses, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
	}
	if _, err := io.ReadFull(random, tok.Secret); err != nil {
		return fail(fmt.Errorf("draw the secret: %w", err))
	}
	if _, err := tok.encode(); err != nil {
		return fail(err)
	}
	stored := sha256.Sum256(tok.clientKey())
	rec := TokenRecord{ID: tok.id(), StoredKey: stored, Node: in.Node, Expires: in.Now.Add(in.Life).UTC()}
	return tok, rec, nil
}

// Text returns the string to paste. It holds the secret.
func (t Token) Text() (string, error) {
	raw, err := t.encode()
	if err != nil {
		return "", err
	}
	return TokenPrefix + tokenEncoding.EncodeToString(raw), nil
}

func (t Token) encode() ([]byte, error) {
	cluster, err := t.Cluster.Bytes()
	if err != nil {
		return nil, err
	}
	if len(t.Secret) != secretSize {
		return nil, fmt.Errorf("the secret has %d bytes, must have %d", len(t.Secret), secretSize)
	}
	if len(t.Addresses) == 0 || len(t.Addresses) > MaxTokenAddresses {
		return nil, fmt.Errorf("%d member addresses, must be 1 to %d", len(t.Addresses), MaxTokenAddresses)
	}
	raw := append([]byte(nil), cluster[:]...)
	raw = append(raw, t.Secret...)
	raw = append(raw, t.Pin[:]...)
	raw = append(raw, byte(len(t.Addresses)))
	for _, a := range t.Addresses {
		if err := checkTokenAddress(a); err != nil {
			return nil, err
		}
		if a.Addr().Is4() {
			raw = append(raw, 4)
		} else {
			raw = append(raw, 6)
		}
		raw = append(raw, a.Addr().AsSlice()...)
		raw = binary.BigEndian.AppendUint16(raw, a.Port())
	}
	sum := tokenChecksum(raw)
	return append(raw, sum[:]...), nil
}

func checkTokenAddress(a netip.AddrPort) error {
	switch addr := a.Addr(); {
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6():
		return fmt.Errorf("member address %v is not the address of a host", a)
	case addr.Zone() != "":
		return fmt.Errorf("member address %v has a zone, which means nothing on another host", a)
	case a.Port() == 0:
		return fmt.Errorf("member address %v has no port", a)
	}
	return nil
}

func tokenChecksum(raw []byte) [checksumSize]byte {
	sum := sha256.Sum256(append([]byte("quorate token"), raw...))
	return [checksumSize]byte(sum[:checksumSize])
}

// ParseToken reads the text of a token. Blanks and line breaks are skipped and lower case is accepted, since it is
// pasted by people. Errors wrap ErrTokenMalformed or ErrTokenChecksum and never show the text.
func ParseToken(text string) (Token, error) {
	var t Token
	bad := func(format string, args ...any) (Token, error) {
		return Token{}, fmt.Errorf("%w: %s", ErrTokenMalformed, fmt.Sprintf(format, args...))
	}
	if len(text) > maxTokenText {
		return bad("it has %d characters, at most %d are allowed", len(text), maxTokenText)
	}
	clean := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n':
			return -1
		}
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, text)
	body, ok := strings.CutPrefix(clean, TokenPrefix)
	if !ok {
		return bad("it must begin with %s", TokenPrefix)
	}
	for i, r := range body {
		if !(r >= 'A' && r <= 'Z' || r >= '2' && r <= '7') {
			return bad("character %d after %s is not one of A-Z and 2-7", i+1, TokenPrefix)
		}
	}
	raw, err := tokenEncoding.DecodeString(body)
	if err != nil || tokenEncoding.EncodeToString(raw) != body {
		return Token{}, fmt.Errorf("%w: its length or its last character can't be right", ErrTokenChecksum)
	}
	const fixed = transport.ClusterIDSize + secretSize + pinSize + 1
	if len(raw) < fixed+checksumSize {
		return bad("it is too short: %d bytes, at least %d are needed", len(raw), fixed+checksumSize)
	}
	raw, sum := raw[:len(raw)-checksumSize], raw[len(raw)-checksumSize:]
	if want := tokenChecksum(raw); [checksumSize]byte(sum) != want {
		return Token{}, ErrTokenChecksum
	}
	t.Cluster = transport.ClusterIDFromBytes([16]byte(raw[:16]))
	t.Secret = append(Secret(nil), raw[16:32]...)
	t.Pin = Pin(raw[32:48])
	count, raw := int(raw[48]), raw[fixed:]
	if count == 0 || count > MaxTokenAddresses {
		return bad("it has %d member addresses, must have 1 to %d", count, MaxTokenAddresses)
	}
	for i := range count {
		n := 0
		if len(raw) > 0 {
			n = map[byte]int{4: 4, 6: 16}[raw[0]]
		}
		if n == 0 || len(raw) < 1+n+2 {
			return bad("member address %d is damaged", i+1)
		}
		addr, _ := netip.AddrFromSlice(raw[1 : 1+n])
		a := netip.AddrPortFrom(addr, binary.BigEndian.Uint16(raw[1+n:]))
		if err := checkTokenAddress(a); err != nil {
			return bad("%v", err)
		}
		t.Addresses = append(t.Addresses, a)
		raw = raw[1+n+2:]
	}
	if len(raw) != 0 {
		return bad("%d bytes too many", len(raw))
	}
	return t, nil
}

func mac(key []byte, parts ...[]byte) [32]byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

func (t Token) clientKey() []byte {
	k := mac(t.Secret, []byte("quorate join client key"))
	return k[:]
}

func (t Token) id() [8]byte {
	k := mac(t.Secret, []byte("quorate join token id"))
	return [8]byte(k[:8])
}

// VerifyServer checks that the server which the joiner reached is a member of the token's cluster: its certificate
// is signed by the CA that the token pins, which it must show as the last of its chain. Nothing may be sent before. The joiner
// does not know the member list yet and may have a wrong clock, so neither is looked at.
func (t Token) VerifyServer(chain [][]byte) error {
	leaf, rest, err := parseChain(chain)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return fmt.Errorf("%w: it shows no CA certificate", ErrTokenPin)
	}
	ca := rest[len(rest)-1]
	if PinOf(ca.RawSubjectPublicKeyInfo) != t.Pin {
		return ErrTokenPin
	}
	if _, cluster, err := ParseCACertificate(ca.Raw); err != nil {
		return err
	} else if cluster != t.Cluster {
		return fmt.Errorf("%w: the CA is of cluster %s", ErrTokenCluster, cluster)
	}
	cluster, _, err := checkNode(leaf)
	if err != nil {
		return err
	}
	if cluster != t.Cluster {
		return fmt.Errorf("%w: the server is of cluster %s", ErrTokenCluster, cluster)
	}
	if leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		return fmt.Errorf("%w: a server must show a server certificate", ErrRole)
	}
	_, err = verifyAnyTime(leaf, rest[:len(rest)-1], []*x509.Certificate{ca}, x509.ExtKeyUsageServerAuth, leaf.NotBefore)
	return err
}

// JoinClaim is what a joiner asks for, with its proof. Session is the value exported from the TLS session under
// transport.ExportJoin; each side takes it from its own end and never from the peer.
type JoinClaim struct {
	Cluster transport.ClusterID
	TokenID [8]byte
	Node    membership.NodeName
	Request []byte // certificate request
	Info    []byte // what else the joiner says about itself
	Proof   [32]byte
}

func (c *JoinClaim) message(session []byte) []byte {
	var b []byte
	for _, p := range [][]byte{[]byte("quorate join 1"), session, []byte(c.Cluster), c.TokenID[:], []byte(c.Node), c.Request, c.Info} {
		sum := sha256.Sum256(p)
		b = append(b, sum[:]...)
	}
	return b
}

// Prove fills the cluster, the token id and the proof of a claim.
func (t Token) Prove(c *JoinClaim, session []byte) {
	c.Cluster = t.Cluster
	c.TokenID = t.id()
	key := t.clientKey()
	stored := sha256.Sum256(key)
	sig := mac(stored[:], c.message(session))
	subtle.XORBytes(c.Proof[:], key, sig[:])
}

// CheckClaim finds the record that a claim is good for. It fails with ErrTokenCluster or ErrTokenUnknown, and only to
// who has proved to know the secret with ErrTokenNode, ErrTokenUsed or ErrTokenExpired. The caller must mark the record as used in
// the same log entry that adds the node.
func CheckClaim(cluster transport.ClusterID, records []TokenRecord, c *JoinClaim, session []byte, now time.Time) (int, error) {
	if c.Cluster != cluster {
		return 0, fmt.Errorf("%w: it is for %.40q, this is %s", ErrTokenCluster, string(c.Cluster), cluster)
	}
	found := -1
	msg := c.message(session)
	for i := range records {
		r := &records[i]
		if r.ID != c.TokenID {
			continue
		}
		var key [32]byte
		sig := mac(r.StoredKey[:], msg)
		subtle.XORBytes(key[:], c.Proof[:], sig[:])
		sum := sha256.Sum256(key[:])
		if subtle.ConstantTimeCompare(sum[:], r.StoredKey[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return 0, ErrTokenUnknown
	}
	switch r := &records[found]; {
	case r.Used:
		return 0, ErrTokenUsed
	case now.After(r.Expires):
		return 0, fmt.Errorf("%w: at %s", ErrTokenExpired, stamp(r.Expires))
	case r.Node != "" && r.Node != c.Node:
		return 0, fmt.Errorf("%w: it is for %q, not for %q", ErrTokenNode, r.Node, c.Node)
	}
	return found, nil
}

// OpenTokens reports whether a token has not expired. Joiners are answered until then, also those who try one that
// was used, so that they are told why it is refused.
func OpenTokens(records []TokenRecord, now time.Time) bool {
	for i := range records {
		if !now.After(records[i].Expires) {
			return true
		}
	}
	return false
}

// Limits of wrong tries.
const (
	// MaxWrongTries is how many wrong proofs are answered in one TryWindow.
	MaxWrongTries = 5
	// TryWindow is the time over which wrong tries are counted.
	TryWindow = time.Minute
	// MaxTryPause is the longest pause after repeated series of wrong tries.
	MaxTryPause = 15 * time.Minute
)

// Attempts limits guessing: after MaxWrongTries wrong proofs within TryWindow, nothing is answered for TryWindow, and for twice as long
// after each further series, up to MaxTryPause. The zero value is ready. It is a plain value, so it can be kept where all
// members see it. It is not safe for concurrent use.
type Attempts struct {
	// Wrong counts the wrong tries since Since.
	Wrong int
	Since membership.Instant
	// Until is the end of the pause, when Paused.
	Until  membership.Instant
	Paused bool
	// Series counts the pauses in a row.
	Series int
}

// Allow returns 0 if a try may be answered now, or how long to wait.
func (a *Attempts) Allow(now membership.Instant) time.Duration {
	if a.Paused && now.Before(a.Until) {
		return a.Until.Sub(now)
	}
	return 0
}

// Fail counts a wrong try.
func (a *Attempts) Fail(now membership.Instant) {
	if a.Paused && !now.Before(a.Until) {
		a.Paused, a.Wrong = false, 0
		if now.Sub(a.Until) > MaxTryPause {
			a.Series = 0
		}
	}
	if a.Wrong == 0 || now.Sub(a.Since) > TryWindow {
		a.Wrong, a.Since = 0, now
	}
	a.Wrong++
	if a.Wrong < MaxWrongTries || a.Paused {
		return
	}
	pause := TryWindow
	for range a.Series {
		if pause *= 2; pause >= MaxTryPause {
			pause = MaxTryPause
			break
		}
	}
	a.Series++
	a.Paused, a.Until = true, now.Add(pause)
}

package daemon

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
	"github.com/quorate/quorate/transport/keyring"
)

// begin is the time at which the cluster of these tests was made.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// authorities are nodes whose notices arrive at once, in order, when deliver is called.
type authorities struct {
	t     *testing.T
	nodes map[membership.NodeID]*authority
	shown map[membership.NodeID]int
	keys  map[membership.NodeID][]byte
	mail  []func(now time.Time)
}

func newAuthorities(t *testing.T, n int) *authorities {
	t.Helper()
	c := &authorities{t: t, nodes: map[membership.NodeID]*authority{}, shown: map[membership.NodeID]int{}, keys: map[membership.NodeID][]byte{}}
	cluster, err := transport.NewClusterID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := keyring.NewCA(cluster, begin, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		id := membership.NodeID(i)
		key, err := keyring.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := ca.Issue(keyring.Issue{Node: id, Key: &key.PublicKey, Now: begin}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := keyring.OpenFolder(filepath.Join(t.TempDir(), "keys"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { folder.Close() })
		node := &keyring.Node{Cluster: cluster, ID: id, Key: key, Certificates: certs, CAs: [][]byte{ca.Certificate()}}
		if err := folder.SaveNode(node); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := folder.SaveCA(ca); err != nil {
				t.Fatal(err)
			}
		}
		a, err := newAuthority(node, folder, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		a.send = func(to membership.NodeID, m *notice) error {
			data, err := cbor.Marshal(m)
			if err == nil {
				c.mail = append(c.mail, func(now time.Time) { c.nodes[to].take(id, data, now) })
			}
			return err
		}
		a.show = func(*keyring.Node) { c.shown[id]++ }
		c.nodes[id] = a
		if c.keys[id], err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// round lets every node do a round, all connected, with the given voters, and delivers what they send.
func (c *authorities) round(now time.Time, voters ...membership.NodeID) {
	for id := membership.NodeID(1); int(id) <= len(c.nodes); id++ {
		var connected []membership.NodeID
		for other := membership.NodeID(1); int(other) <= len(c.nodes); other++ {
			if other != id {
				connected = append(connected, other)
			}
		}
		c.nodes[id].round(now, peers{voters: voters, keys: c.keys, connected: connected})
	}
	for len(c.mail) > 0 {
		next := c.mail[0]
		c.mail = c.mail[1:]
		next(now)
	}
}

func (c *authorities) holders() (list []membership.NodeID) {
	for id := membership.NodeID(1); int(id) <= len(c.nodes); id++ {
		_, err := c.nodes[id].keys.LoadCA()
		if (err == nil) != (c.nodes[id].authority() != nil) {
			c.t.Errorf("node %d: key on disk %v, in use %v", id, err, c.nodes[id].authority() != nil)
		}
		if err == nil {
			list = append(list, id)
		}
	}
	return list
}

// The CA key goes to each voter, and leaves a node that does not vote any more only when a voter has it.
func TestAuthority_KeyFollowsTheVotes(t *testing.T) {
	t.Parallel()
	c := newAuthorities(t, 4)
	want := func(ids ...membership.NodeID) {
		t.Helper()
		if got := c.holders(); len(got) != len(ids) || !equal(got, ids) {
			t.Fatalf("holders = %v, want %v", got, ids)
		}
	}
	c.round(begin, 1)
	want(1)
	c.round(begin, 1, 2, 3)
	want(1, 2, 3)
	c.round(begin, 4) // all at once: the key must not get lost
	want(1, 2, 3, 4)
	c.round(begin, 4)
	want(4)
}

func equal(a, b []membership.NodeID) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestAuthority_Renew(t *testing.T) {
	t.Parallel()
	c := newAuthorities(t, 3)
	old := c.nodes[3].id
	due, err := renewAt(&old)
	if err != nil {
		t.Fatal(err)
	}
	c.round(due.Add(-time.Hour), 1, 2)
	if len(c.shown) != 0 {
		t.Fatalf("certificates were renewed before their time: %v", c.shown)
	}
	c.round(due, 1, 2)
	for id := membership.NodeID(1); id <= 3; id++ {
		if c.shown[id] != 1 {
			t.Errorf("node %d shows new certificates %d times, want once", id, c.shown[id])
		}
		stored, err := c.nodes[id].keys.LoadNode()
		if err != nil {
			t.Fatal(err)
		}
		ends, renew, problem, _ := c.nodes[id].validity()
		if !ends.After(due.Add(keyring.DefaultValidity-time.Hour)) || !renew.After(due) || problem != "" {
			t.Errorf("node %d: ends %v, next %v, problem %q", id, ends, renew, problem)
		}
		if !bytes.Equal(stored.Server, c.nodes[id].id.Server) || !stored.Key.Equal(c.nodes[id].id.Key) {
			t.Errorf("node %d: the new certificates are not on its disk, or its key has changed", id)
		}
	}
	if stored, _ := c.nodes[3].keys.LoadNode(); !stored.Key.Equal(old.Key) {
		t.Error("renewal changed the key")
	}
	// An old answer that comes late does not bring the old certificates back.
	data, err := cbor.Marshal(&notice{Kind: noticeCertificates, Server: old.Server, Client: old.Client})
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[3].take(1, data, due)
	if c.shown[3] != 1 {
		t.Error("older certificates were taken over")
	}
}

func TestAuthority_NobodyToAsk(t *testing.T) {
	t.Parallel()
	c := newAuthorities(t, 2)
	c.nodes[2].round(begin.Add(keyring.DefaultValidity), peers{voters: []membership.NodeID{1}})
	if _, _, problem, _ := c.nodes[2].validity(); problem != "no voter is connected that could issue new certificates" {
		t.Errorf("problem = %q", problem)
	}
}

func TestAuthority_BadNotices(t *testing.T) {
	t.Parallel()
	c := newAuthorities(t, 2)
	other := newAuthorities(t, 1)
	foreign, err := x509.MarshalPKCS8PrivateKey(other.nodes[1].ca.Key())
	if err != nil {
		t.Fatal(err)
	}
	own := c.nodes[1].ca
	for _, tc := range []struct {
		name string
		n    notice
	}{
		{"CA of another cluster", notice{Kind: noticeAuthority, Certificate: other.nodes[1].ca.Certificate(), Key: foreign}},
		{"key of another CA", notice{Kind: noticeAuthority, Certificate: own.Certificate(), Key: foreign}},
		{"no key", notice{Kind: noticeAuthority, Certificate: own.Certificate()}},
		{"certificates of another node", notice{Kind: noticeCertificates, Server: c.nodes[1].id.Server, Client: c.nodes[1].id.Client}},
		{"no certificates", notice{Kind: noticeCertificates}},
		{"asks who has no key", notice{Kind: noticeRenew}},
		{"unknown kind", notice{Kind: 99}},
	} {
		data, err := cbor.Marshal(&tc.n)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes[2].take(1, data, begin)
		if c.shown[2] != 0 || c.nodes[2].authority() != nil || len(c.mail) != 0 {
			t.Fatalf("%s: it had an effect", tc.name)
		}
	}
	// Who is not in the member list gets nothing.
	delete(c.keys, 2)
	c.nodes[1].round(begin, peers{voters: []membership.NodeID{1}, keys: c.keys})
	data, err := cbor.Marshal(&notice{Kind: noticeRenew})
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[1].take(2, data, begin)
	if len(c.mail) != 0 {
		t.Error("a node that is no member got certificates")
	}
	if _, err := c.nodes[2].keys.LoadCA(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadCA() = %v, want no key on the disk", err)
	}
}

func FuzzAuthority_Take(f *testing.F) {
	for _, n := range []notice{{Kind: noticeClock, Wall: 1}, {Kind: noticeAuthority, Key: []byte{1}}, {Kind: noticeCertificates, Server: []byte{1}}} {
		data, err := cbor.Marshal(&n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a := &authority{self: 2, log: hclog.NewNullLogger(), has: map[membership.NodeID]bool{}, offsets: map[membership.NodeID]time.Duration{},
			alarmed: map[membership.NodeID]bool{}, send: func(membership.NodeID, *notice) error { return os.ErrClosed }}
		a.take(1, data, begin)
	})
}

func TestAuthority_Clock(t *testing.T) {
	t.Parallel()
	c := newAuthorities(t, 2)
	now := begin
	c.nodes[1].round(now.Add(time.Hour), peers{connected: []membership.NodeID{2}})
	for _, deliver := range c.mail {
		deliver(now)
	}
	if ahead, ok := c.nodes[2].clocks()[1]; !ok || ahead != time.Hour {
		t.Errorf("offset = %v, %v, want one hour", ahead, ok)
	}
	if !c.nodes[2].alarmed[1] {
		t.Error("a clock that is an hour ahead raises no alarm")
	}
}

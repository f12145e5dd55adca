package daemon

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
	"github.com/quorate/quorate/transport/keyring"
	"github.com/quorate/quorate/transport/stream"
)

// keyDir is where the node keeps its key and certificates.
func (p Paths) keyDir() string { return filepath.Join(p.nodeDir(), "keys") }

// logDir is where the raft log lies.
func (p Paths) logDir() string { return filepath.Join(p.nodeDir(), "raft") }

// decisionDir is where the inputs of decisions lie.
func (p Paths) decisionDir() string { return filepath.Join(p.nodeDir(), "decisions") }

// peersFile has the members that a joining node was told of, for the time until it has the document.
func (p Paths) peersFile() string { return filepath.Join(p.nodeDir(), "members") }

// configured reports whether the node is in a cluster.
func (p Paths) configured() (bool, error) {
	_, err := os.Stat(filepath.Join(p.logDir(), "log.db"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// initCluster makes a cluster with this node as its only member.
func initCluster(p Paths, r api.InitRequest, now time.Time) error {
	if err := checkNodeName(r.Node); err != nil {
		return err
	}
	if err := checkClock(now); err != nil {
		return err
	}
	links, err := nodeLinks(r.Links)
	if err != nil {
		return err
	}
	if r.Cluster == "" {
		r.Cluster = "quorate"
	}
	var doc *cib.Document
	if len(r.Config) > 0 {
		if doc, _, err = cibxml.Read(r.Config); err != nil {
			return &server.StateError{Message: "initial configuration: " + err.Error()}
		}
	}
	ports := cib.PortSettings{}
	if doc != nil {
		ports = doc.Config.Cluster.Ports
	}
	if err := checkPorts(links, uint16(ports.Stream), uint16(ports.Datagram)); err != nil {
		return err
	}
	id, err := transport.NewClusterID(rand.Reader)
	if err != nil {
		return err
	}
	ca, err := keyring.NewCA(id, now, rand.Reader)
	if err != nil {
		return err
	}
	key, err := keyring.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	certs, err := ca.Issue(keyring.Issue{Node: 1, Key: &key.PublicKey, Now: now}, rand.Reader)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	entry := command.Entry{Kind: command.KindBootstrap, Actor: "uid:0", Origin: r.Node, Time: now.UnixMilli(), Bootstrap: &command.Bootstrap{
		ClusterID: string(id), Name: r.Cluster, CA: ca.Certificate(), Config: doc,
		First: command.MemberAdd{Name: r.Node, Key: spki, Links: links, Witness: r.Witness, Feature: command.FeatureLevel},
	}}
	data, err := entry.Encode()
	if err != nil {
		return err
	}
	state, out := command.Apply(command.New(), 1, 1, data)
	if out.Err != nil {
		return &server.StateError{Message: out.Err.Error()}
	}
	snapshot, err := state.Encode()
	if err != nil {
		return err
	}
	folder, err := keyring.OpenFolder(p.keyDir())
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.SaveNode(&keyring.Node{Cluster: id, ID: 1, Key: key, Certificates: certs, CAs: [][]byte{ca.Certificate()}}); err != nil {
		return err
	}
	if err := folder.SaveCA(ca); err != nil {
		return err
	}
	log, err := raftlog.Create(p.logDir(), raftlog.Identity{ClusterID: string(id), NodeID: 1, RaftID: 1}, replica.Founding(1, snapshot), raftlog.Options{})
	if err != nil {
		return err
	}
	return log.Close()
}

func checkNodeName(name string) error {
	if !cib.ValidName(name) {
		return &server.StateError{Message: fmt.Sprintf("%q cannot be a node name: letters, digits, dot, dash and underscore, at most 128, and no dash or dot first", name)}
	}
	return nil
}

// nodeLinks checks the addresses of this node on its links.
func nodeLinks(links []api.Link) ([]cib.NodeLink, error) {
	if len(links) == 0 {
		return nil, &server.StateError{Message: "no address was given", Hint: "name at least one link with an address of this node: --link lan=10.0.0.1"}
	}
	if len(links) > membership.MaxLinks {
		return nil, &server.StateError{Message: fmt.Sprintf("%d links, at most %d", len(links), membership.MaxLinks)}
	}
	var out []cib.NodeLink
	for _, l := range links {
		if !cib.ValidName(l.Name) {
			return nil, &server.StateError{Message: fmt.Sprintf("%q cannot be the name of a link", l.Name)}
		}
		if _, err := netip.ParseAddr(l.Address); err != nil {
			return nil, &server.StateError{Message: fmt.Sprintf("link %s: %q is not an IP address", l.Name, l.Address)}
		}
		if slices.ContainsFunc(out, func(x cib.NodeLink) bool { return x.Link == l.Name }) {
			return nil, &server.StateError{Message: "link " + l.Name + " is named twice"}
		}
		out = append(out, cib.NodeLink{Link: l.Name, Address: l.Address})
	}
	slices.SortFunc(out, func(a, b cib.NodeLink) int { return strings.Compare(a.Link, b.Link) })
	return out, nil
}

// joinInfo is what a joiner says of itself.
type joinInfo struct {
	Links   []cib.NodeLink `cbor:"1,keyasint"`
	Witness bool           `cbor:"2,keyasint,omitempty"`
	Feature uint32         `cbor:"3,keyasint"`
	Wall    int64          `cbor:"4,keyasint,omitempty"` // milliseconds since 1970, by the joiner's clock
}

// joinReply is what a joiner gets. With it the node can reach the others; the document follows over raft.
type joinReply struct {
	Node    uint16   `cbor:"1,keyasint"`
	Raft    uint64   `cbor:"2,keyasint"`
	Server  []byte   `cbor:"3,keyasint"` // certificates of the joiner
	Client  []byte   `cbor:"4,keyasint"`
	CAs     [][]byte `cbor:"5,keyasint"`
	Members []known  `cbor:"6,keyasint"`
	Links   []string `cbor:"7,keyasint"`           // names of the cluster's links, in order of their numbers
	Stream  uint16   `cbor:"8,keyasint,omitempty"` // ports of the cluster; 0 = the usual ones
	Dgram   uint16   `cbor:"9,keyasint,omitempty"`
}

// known is a member that a joiner is told of.
type known struct {
	Name  string         `cbor:"1,keyasint"`
	Node  uint16         `cbor:"2,keyasint"`
	Raft  uint64         `cbor:"3,keyasint"`
	Key   []byte         `cbor:"4,keyasint"`
	Links []cib.NodeLink `cbor:"5,keyasint"`
}

// joinCluster joins with a token: it pins the cluster's CA, proves the token, gets certificates and writes
// what the node needs to start.
func joinCluster(ctx context.Context, p Paths, r api.JoinRequest) error {
	token, err := keyring.ParseToken(r.Token)
	if err != nil {
		return &server.StateError{Message: err.Error(), Hint: `make a new token with "crm cluster token create" on a member, and paste all of it`}
	}
	if err := checkNodeName(r.Node); err != nil {
		return err
	}
	links, err := nodeLinks(r.Links)
	if err != nil {
		return err
	}
	// Before the token is used up.
	if err := checkPorts(links, token.Addresses[0].Port(), 0); err != nil {
		return err
	}
	if err := checkClock(time.Now()); err != nil {
		return err
	}
	key, err := keyring.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	csr, err := keyring.NewRequest(key)
	if err != nil {
		return err
	}
	info, err := cbor.Marshal(joinInfo{Links: links, Witness: r.Witness, Feature: command.FeatureLevel, Wall: time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	data, err := askToJoin(ctx, token, r.Node, csr, info)
	if err != nil {
		return joinError(err)
	}
	var reply joinReply
	if err := cbor.Unmarshal(data, &reply); err != nil {
		return fmt.Errorf("answer of the cluster: %w", err)
	}
	return saveJoined(p, token.Cluster, key, &reply, data)
}

// joinError says why a node could not join, and what to do.
func joinError(err error) error {
	var refused *stream.RefusedError
	const renew = `make a new token with "crm cluster token create" on a node of the cluster`
	switch {
	case errors.As(err, &refused):
		return &server.StateError{Message: "join refused: " + refused.Text, Hint: renew + `, unless the reason says otherwise`}
	case errors.Is(err, keyring.ErrTokenPin), errors.Is(err, keyring.ErrTokenCluster):
		return &server.StateError{Message: "join refused: " + err.Error(), Hint: "the token is of another cluster than the one that has these addresses now; " + renew}
	case errors.Is(err, stream.ErrNotAnswered):
		return &server.StateError{Message: "join refused: " + err.Error(), Hint: "the token has expired, or was used or revoked; " + renew}
	}
	return &server.StateError{Message: "no member that the token names could be reached: " + err.Error(),
		Hint: "are they up, and does the firewall let 5404/tcp and 5405/udp through?"}
}

func saveJoined(p Paths, cluster transport.ClusterID, key *ecdsa.PrivateKey, reply *joinReply, data []byte) error {
	folder, err := keyring.OpenFolder(p.keyDir())
	if err != nil {
		return err
	}
	defer folder.Close()
	id := membership.NodeID(reply.Node)
	if err := folder.SaveNode(&keyring.Node{Cluster: cluster, ID: id, Key: key,
		Certificates: keyring.Certificates{Server: reply.Server, Client: reply.Client}, CAs: reply.CAs}); err != nil {
		return err
	}
	if err := os.WriteFile(p.peersFile(), data, 0o600); err != nil {
		return err
	}
	log, err := raftlog.Create(p.logDir(), raftlog.Identity{ClusterID: string(cluster), NodeID: id, RaftID: membership.RaftID(reply.Raft)}, nil, raftlog.Options{})
	if err != nil {
		return err
	}
	return log.Close()
}

// askToJoin asks the members that the token names, one after the other.
func askToJoin(ctx context.Context, token keyring.Token, name string, csr, info []byte) ([]byte, error) {
	return stream.Join(ctx, stream.JoinConfig{
		Addresses:    token.Addresses,
		VerifyServer: token.VerifyServer,
		Request: func(session []byte) (*stream.JoinRequest, error) {
			claim := keyring.JoinClaim{Node: membership.NodeName(name), Request: csr, Info: info}
			token.Prove(&claim, session)
			return &stream.JoinRequest{Cluster: claim.Cluster, TokenID: claim.TokenID, Node: claim.Node,
				Request: claim.Request, Info: claim.Info, Proof: claim.Proof}, nil
		},
	})
}

// joins answers joiners on a member.
type joins struct {
	d *instance
}

// tokenRecords turns the tokens of the state into what keyring checks.
func tokenRecords(s *command.State) []keyring.TokenRecord {
	var out []keyring.TokenRecord
	for _, t := range s.Tokens {
		var rec keyring.TokenRecord
		id, err := hex.DecodeString(t.ID)
		if err != nil || len(id) != len(rec.ID) || len(t.Hash) != len(rec.StoredKey) {
			continue
		}
		copy(rec.ID[:], id)
		copy(rec.StoredKey[:], t.Hash)
		rec.Node, rec.Expires, rec.Used = membership.NodeName(t.Node), time.Unix(t.Expires, 0).UTC(), t.Used != ""
		out = append(out, rec)
	}
	return out
}

// Open reports whether a join token is open.
func (j joins) Open() bool {
	s, err := j.d.loop.State(context.Background(), false)
	if err != nil {
		return false
	}
	return keyring.OpenTokens(tokenRecords(s), time.Now())
}

// Join answers one joiner: the token's proof is checked, the node is added to the cluster by a log entry (which
// uses the token up), and its certificates are issued.
func (j joins) Join(ctx context.Context, source netip.AddrPort, req *stream.JoinRequest, session []byte) ([]byte, error) {
	d := j.d
	s, err := d.loop.State(ctx, true)
	if err != nil {
		return nil, err
	}
	claim := &keyring.JoinClaim{Cluster: req.Cluster, TokenID: req.TokenID, Node: req.Node, Request: req.Request, Info: req.Info, Proof: req.Proof}
	now := time.Now()
	if wait := d.attempt(now, false); wait > 0 {
		return nil, fmt.Errorf("too many wrong join tokens were tried: wait %v", wait.Round(time.Second))
	}
	if _, err := keyring.CheckClaim(transport.ClusterID(s.ClusterID), tokenRecords(s), claim, session, now); err != nil {
		d.attempt(now, true)
		d.log.Warn("join refused", "node", string(req.Node), "source", source, "error", err)
		d.note("join-refused", map[string]any{"name": string(req.Node), "address": source.String(), "reason": err.Error()})
		return nil, err
	}
	pub, err := keyring.ParseRequest(req.Request)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	var info joinInfo
	if err := cbor.Unmarshal(req.Info, &info); err != nil {
		return nil, fmt.Errorf("what the joiner says of itself: %w", err)
	}
	if err := checkJoinClock(string(req.Node), time.UnixMilli(info.Wall), now); err != nil {
		return nil, err
	}
	if err := checkLinks(string(req.Node), info.Links, s.Links); err != nil {
		return nil, err
	}
	ca := d.authority.authority()
	if ca == nil {
		return nil, &stream.RefusedError{Refusal: stream.RefusedBusy, Text: "node " + d.name + " does not have the CA key of the cluster, which only voters have"}
	}
	_, out, err := d.loop.Propose(ctx, &command.Entry{Kind: command.KindMemberAdd, Actor: "token:" + hex.EncodeToString(req.TokenID[:]),
		MemberAdd: &command.MemberAdd{Name: string(req.Node), Key: spki, Links: info.Links, Witness: info.Witness,
			Token: hex.EncodeToString(req.TokenID[:]), Feature: info.Feature}})
	if err == nil {
		err = out.Err
	}
	if err != nil {
		return nil, err
	}
	if s, err = d.loop.State(ctx, false); err != nil {
		return nil, err
	}
	m := s.Member(string(req.Node))
	if m == nil {
		return nil, errors.New("the node was removed again")
	}
	certs, err := ca.Issue(keyring.Issue{Node: membership.NodeID(m.NodeID), Key: pub, Now: now}, rand.Reader)
	if err != nil {
		return nil, err
	}
	d.log.Info("node joins", "node", m.Name, "id", m.NodeID, "source", source)
	d.note("node-joined", map[string]any{"name": m.Name, "node_id": int(m.NodeID), "token": hex.EncodeToString(req.TokenID[:]), "address": source.String()})
	return cbor.Marshal(joinReply{Node: m.NodeID, Raft: m.RaftID, Server: certs.Server, Client: certs.Client, CAs: s.CAs,
		Members: knownMembers(s), Links: s.Links, Stream: streamPort(s), Dgram: datagramPort(s)})
}

// checkLinks refuses a joiner that names a link which the cluster does not have: links are joined by their names, so no
// member could reach it there.
func checkLinks(name string, links []cib.NodeLink, cluster []string) error {
	for _, l := range links {
		if !slices.Contains(cluster, l.Link) {
			return fmt.Errorf("%s names the link %s, which the cluster does not have: the cluster's links are %s; join again with --link %s=ADDRESS, the token is still good until it expires",
				name, l.Link, strings.Join(cluster, ", "), cmp.Or(cib.Nearest(l.Link, cluster), cluster[0]))
		}
	}
	return nil
}

func knownMembers(s *command.State) []known {
	var out []known
	for i := range s.Members {
		m := &s.Members[i]
		if m.Removed {
			continue
		}
		out = append(out, known{Name: m.Name, Node: m.NodeID, Raft: m.RaftID, Key: m.Key, Links: linksOf(s, m.Name)})
	}
	return out
}

func linksOf(s *command.State, name string) []cib.NodeLink {
	for i := range s.Document.Config.Nodes {
		if s.Document.Config.Nodes[i].Name == name {
			return s.Document.Config.Nodes[i].Links
		}
	}
	return nil
}

// joinAddresses are where a joiner can be answered: at this node if it has the CA key, and at other voters.
func (d *instance) joinAddresses(s *command.State) (list []netip.AddrPort, err error) {
	local := d.local()
	names := local.Voters
	if d.authority.authority() != nil {
		names = append([]string{d.name}, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == d.name })...)
	} else {
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == d.name })
	}
	// The first link of each before the second of any.
	for at := range membership.MaxLinks {
		for _, name := range names {
			links := linksOf(s, name)
			if at >= len(links) || len(list) == keyring.MaxTokenAddresses {
				continue
			}
			if a, err := netip.ParseAddr(links[at].Address); err == nil {
				list = append(list, netip.AddrPortFrom(a, streamPort(s)))
			}
		}
	}
	if len(list) == 0 {
		return nil, &server.StateError{Message: "no voter is known that could answer a joiner", Hint: `look at "crm cluster status": is there quorum?`}
	}
	return list, nil
}

// issueToken makes a join token.
func (d *instance) issueToken(ctx context.Context, r api.TokenRequest, actor string) (api.TokenReply, error) {
	s, err := d.loop.State(ctx, true)
	if err != nil {
		return api.TokenReply{}, err
	}
	if r.Node != "" {
		if err := checkNodeName(r.Node); err != nil {
			return api.TokenReply{}, err
		}
		if s.Member(r.Node) != nil {
			return api.TokenReply{}, &server.StateError{Message: "the node name " + r.Node + " is taken", Hint: "remove that node first, or choose another name"}
		}
	}
	addresses, err := d.joinAddresses(s)
	if err != nil {
		return api.TokenReply{}, err
	}
	certs, err := keyring.ParseCAs(d.id.CAs[:1])
	if err != nil {
		return api.TokenReply{}, err
	}
	token, rec, err := keyring.NewToken(keyring.TokenRequest{Cluster: transport.ClusterID(s.ClusterID), Pin: keyring.PinOf(certs[0].RawSubjectPublicKeyInfo),
		Node: membership.NodeName(r.Node), Addresses: addresses, Now: time.Now(), Life: time.Duration(r.Lifetime) * time.Second}, rand.Reader)
	if err != nil {
		return api.TokenReply{}, &server.StateError{Message: err.Error()}
	}
	_, out, err := d.loop.Propose(ctx, &command.Entry{Kind: command.KindTokenAdd, Actor: actor, TokenAdd: &command.Token{
		ID: hex.EncodeToString(rec.ID[:]), Node: r.Node, Hash: rec.StoredKey[:], Expires: rec.Expires.Unix(), Actor: actor}})
	if err == nil {
		err = out.Err
	}
	if err != nil {
		return api.TokenReply{}, err
	}
	d.note("token-issued", map[string]any{"token": hex.EncodeToString(rec.ID[:]), "name": r.Node, "actor": actor, "expires": rec.Expires.Format(time.RFC3339)})
	text, err := token.Text()
	if err != nil {
		return api.TokenReply{}, err
	}
	return api.TokenReply{Token: text, ID: hex.EncodeToString(rec.ID[:]), Expires: rec.Expires}, nil
}

func streamPort(s *command.State) uint16 {
	if p := s.Document.Config.Cluster.Ports.Stream; p > 0 {
		return uint16(p)
	}
	return transport.StreamPort
}

func datagramPort(s *command.State) uint16 {
	if p := s.Document.Config.Cluster.Ports.Datagram; p > 0 {
		return uint16(p)
	}
	return transport.DatagramPort
}

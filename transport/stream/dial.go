package stream

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/quorate/quorate/membership"
)

// dialer keeps the connection to a peer on one link.
type dialer struct {
	cancel context.CancelFunc
	local  netip.Addr
	remote netip.AddrPort
	renew  chan struct{}
}

// startDials starts, stops and changes the dialers of a peer as its addresses and the local links say. The caller holds mu.
func (e *Endpoint) startDials(p *peer) {
	if e.ctx == nil || e.stopped || p.gone || p.node < e.cfg.Node {
		return
	}
	for i := range p.dials {
		var local netip.Addr
		if l := e.listeners[i]; l != nil {
			local = l.ip
		}
		remote := p.spec.Addresses[i]
		want := local.IsValid() && remote.IsValid()
		if d := p.dials[i]; d != nil {
			if want && d.local == local && d.remote == remote {
				continue
			}
			d.cancel()
			p.dials[i] = nil
		}
		if !want {
			continue
		}
		ctx, cancel := context.WithCancel(e.ctx)
		d := &dialer{cancel: cancel, local: local, remote: remote, renew: make(chan struct{}, 1)}
		p.dials[i] = d
		e.spawn(func(context.Context) {
			defer cancel()
			e.dialLoop(ctx, d, p, membership.LinkID(i))
		})
	}
}

// sleep waits; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (e *Endpoint) dialLoop(ctx context.Context, d *dialer, p *peer, link membership.LinkID) {
	pause := minPause
	for {
		c, err := e.dial(ctx, d, p, link)
		if ctx.Err() != nil {
			if c != nil {
				c.fail(ErrRemoved)
				<-c.ended
			}
			return
		}
		if err == nil {
			began := time.Now()
			c = e.keep(ctx, d, p, link, c)
			<-c.ended
			if time.Since(began) > maxPause {
				pause = minPause
			}
		} else {
			e.report(Report{Link: link, Remote: d.remote, Node: p.node, Err: err})
		}
		// Half of the pause is by chance, so that nodes which lost a peer together do not dial it together.
		if !sleep(ctx, pause/2+time.Duration(e.cfg.Jitter()*float64(pause/2))) {
			return
		}
		pause = min(time.Duration(float64(pause)*pauseGrowth), maxPause)
	}
}

// keep waits until the connection on a link has ended, or was replaced by a renewed one which has ended. It returns the last one.
func (e *Endpoint) keep(ctx context.Context, d *dialer, p *peer, link membership.LinkID, c *conn) *conn {
	for {
		select {
		case <-c.ended:
			return c
		case <-ctx.Done():
			if !c.dismissed() { // else it ends by itself, after it was told why
				c.fail(ErrRemoved)
			}
			return c
		case <-d.renew:
			next, err := e.dial(ctx, d, p, link)
			if err != nil {
				e.report(Report{Link: link, Remote: d.remote, Node: p.node, Err: fmt.Errorf("renew the connection: %w", err)})
				continue
			}
			c = next
		}
	}
}

// dial makes a connection, registers it and starts to serve it.
func (e *Endpoint) dial(ctx context.Context, d *dialer, p *peer, link membership.LinkID) (*conn, error) {
	e.mu.Lock()
	spec := p.spec
	e.mu.Unlock()
	spec.Addresses[link] = d.remote
	s, err := e.connect(ctx, spec, link, d.local, purposeMain)
	if err != nil {
		return nil, err
	}
	c := e.newConn(p, link, s)
	err = e.displace(c)
	if err == nil {
		err = e.register(c)
	}
	if err != nil {
		s.tell(err)
		s.close()
		return nil, err
	}
	e.announce(c)
	e.mu.Lock()
	started := e.spawn(func(context.Context) { c.serve() })
	e.mu.Unlock()
	if !started {
		c.fail(ErrStopped)
		e.finish(c)
	}
	return c, nil
}

// Renew makes new connections to a peer in place of those that are up, with new keys, without a gap. Only the side that dials can do it; on the
// other it does nothing, with an error.
func (e *Endpoint) Renew(node membership.NodeID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.peers[node]
	if p == nil {
		return fmt.Errorf("renew connections: %w: node %d", ErrNoPeer, node)
	}
	if node < e.cfg.Node {
		return fmt.Errorf("renew connections: node %d dials node %d, so it must renew them", node, e.cfg.Node)
	}
	for _, d := range p.dials {
		if d != nil {
			select {
			case d.renew <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

// Package stream carries messages between members over TLS 1.3 (TCP, port 5404), and lets a new node join. It decides
// nothing about membership: it reports connections, and sends where the owner says.
//
// # Connections
//
// There is one connection for each peer and link. The node with the lower id dials, from its own address on that link to the
// peer's; the other accepts only from the configured address. Both sides show a certificate, and Config.Verify says whose it
// is. Messages to a peer take the connection with the best score ([Endpoint.SetLink]); when its link is called dead or the connection
// is lost, they take the next best, and what was not written completely is sent again there. A connection that is lost is
// reported at once and dialled again with a growing, jittered pause.
//
// There is no plain-text mode, no session resumption (it would skip the check of certificates), and no version of TLS before 1.3.
//
// # Frames
//
// Numbers are big endian. A frame is
//
//	class    1  transport.Class
//	flags    1  1: last frame of a message; other bits 0
//	length   2  0 to 16,384
//	payload
//
// A message is a run of frames of one class. Frames of different classes may alternate, so a large message of one class delays
// another by a few frames only. Order is kept within a class as long as the connection stays. Raft comes before client messages, but
// gets at most 8 frames in a row while client messages wait.
//
// A sender of client messages has a window of ClientWindow bytes; each frame takes its length and 64 bytes more of it, and the
// receiver gives it back when the message was handled. So slow handling of client messages does not hold up raft on the same connection.
//
// Control messages begin with their kind:
//
//	1 hello    min 2, max 2 (protocol versions), purpose 1 (1 main, 2 bulk), cluster 16, node 2, link 1, raft id 8,
//	           incarnation 8, connection number 8, term 8, index 8, length of the name 1, name; what follows is ignored
//	2 refusal  code 1, text (UTF-8) to the end
//	3 ping     token 8
//	4 pong     token 8
//	5 window   bytes 4
//	6 result   of a bulk transfer: text to the end, empty for success
//
// The side that dialled says hello first; the other answers with its hello or a refusal. A side that refuses the other's hello says so,
// with the reason, and closes.
//
// # Bulk
//
// A snapshot goes over a connection of its own, which the sending side dials, with frames of class 4: one message that describes it, one that is
// the data. It is paced to Config.BulkRate. The receiver answers with the result.
//
// # Join
//
// Under the protocol name quorate-join/1, which is answered only while Config.Join says that a token is open, a
// joiner checks the server's certificate against its token before it sends anything, and then sends one request and
// gets one answer, each in one message of class 1 of at most 64 KiB:
//
//	request  version 1 (1), length 1 and cluster id, token id 8, length 1 and node name, length 2 and certificate request,
//	         length 2 and info, proof 32
//	answer   1 byte: 0 joined, else a code; then the owner's reply, or the reason as text
//
// # Limits
//
// Handshakes are limited in number for each source and in all, and in time; joiners have places of their own, so they can't keep
// members out. Queues, frames and messages are bounded.
//
// # Concurrency
//
// All methods of Endpoint may be called by several goroutines. Events are given by calls of Config.Event from goroutines of the
// endpoint: for one connection PeerUp comes first, then messages in order, then PeerDown. An event must be taken quickly, except that
// messages of class client may take their time. Event must not call methods that wait for the endpoint (Run, SendWait).
package stream

// Package cibxml reads and writes cluster documents in Pacemaker's XML, the element cib with configuration
// and status, of the schemas pacemaker-1.0 to 3.x. The model keeps what was written; cib.Upgrade gives the
// meaning of old forms.
//
// The package is pure: bytes in, document out, and back. Read(Write(doc)) equals doc but for positions.
//
// XML reading is strict and bounded (see scanner): UTF-8, no document type declaration, at most 200 open
// elements, 256 attributes an element and 1 MiB a value. The reader works in one pass without a tree of
// the elements, since documents with the history of large clusters have some hundred megabytes.
//
// Settings that Pacemaker's schema has no place for are comments, which its tools pass over (processing
// instructions, the other choice, end some of them with a failed assertion):
//
//	<!--quorate-link name="lan" priority="1" disabled="true"-->  in configuration
//	<!--quorate-timing profile="fast" heartbeat="100ms" dead-after="1500ms" quorum-timeout="3s"-->
//	<!--quorate-ports stream="5404" datagram="5405"-->
//	<!--quorate-node witness="true" voter="no"-->  in node
//	<!--quorate-node-link link="lan" address="10.0.0.1"-->
//
// Comments of the crm shell stand before their object as <!--# text-->, with "\" before a "\" and between
// two "-". Other comments are not kept.
package cibxml

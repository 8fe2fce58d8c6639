package iaa

// queueOrder is which queues are tried, and in which order. The near ones, on
// the socket of the caller, come first, in turn; the others, in turn, only when
// those are full.
type queueOrder struct {
	queues []*queue
	near   int
}

// at returns the queue for an attempt of a batch that has had so many turns.
func (o *queueOrder) at(turn uint32, attempt int) *queue {
	if attempt < o.near {
		return o.queues[(int(turn)+attempt)%o.near]
	}
	far := len(o.queues) - o.near
	return o.queues[o.near+(int(turn)+attempt)%far]
}

// queueOrders are the orders for all sockets.
type queueOrders struct {
	all     queueOrder // for a caller whose socket is not known
	sockets map[int]*queueOrder
	ofCPU   []*queueOrder // by number of the processor
}

func newQueueOrders(queues []*queue, topology topology) *queueOrders {
	o := &queueOrders{
		all:     queueOrder{queues: queues, near: len(queues)},
		sockets: map[int]*queueOrder{},
	}
	for cpu, socket := range topology.packages {
		order, ok := o.sockets[socket]
		if !ok {
			order = orderFor(socket, queues)
			o.sockets[socket] = order
		}
		for len(o.ofCPU) <= cpu {
			o.ofCPU = append(o.ofCPU, &o.all)
		}
		o.ofCPU[cpu] = order
	}
	return o
}

// orderFor puts the queues of a socket first. A queue of unknown place is near
// to everybody.
func orderFor(socket int, queues []*queue) *queueOrder {
	o := &queueOrder{}
	var far []*queue
	for _, q := range queues {
		if q.socket.isNot(socket) {
			far = append(far, q)
		} else {
			o.queues = append(o.queues, q)
		}
	}
	o.near = len(o.queues)
	o.queues = append(o.queues, far...)
	return o
}

// forCPU returns the order for a caller on a processor, -1 for unknown.
func (o *queueOrders) forCPU(cpu int) *queueOrder {
	if cpu < 0 || cpu >= len(o.ofCPU) {
		return &o.all
	}
	return o.ofCPU[cpu]
}

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.Code;
import com.google.rpc.RetryInfo;
import io.cloudevents.v1.proto.CloudEvent;
import io.cloudevents.v1.proto.CloudEvent.CloudEventAttributeValue;
import io.fiso.v1.PublishStreamRequest;
import io.fiso.v1.PublishStreamResponse;
import io.fiso.v1.Result;
import io.fiso.v1.Settings;
import io.fiso.v1.StreamEvent;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * A producer of fiso.v1.Events: java Producer ADDRESS PROTO COUNT. It publishes COUNT events by PublishStream, each
 * until it is settled, and prints a line of JSON for each settled event, and a summary at the end. PROTO is not read:
 * the classes are generated from it beforehand.
 */
public final class Producer {
    static final int KEYS = 97;

    static final MethodDescriptor<PublishStreamRequest, PublishStreamResponse> PUBLISH_STREAM =
        MethodDescriptor.<PublishStreamRequest, PublishStreamResponse>newBuilder()
            .setType(MethodDescriptor.MethodType.BIDI_STREAMING)
            .setFullMethodName("fiso.v1.Events/PublishStream")
            .setRequestMarshaller(ProtoUtils.marshaller(PublishStreamRequest.getDefaultInstance()))
            .setResponseMarshaller(ProtoUtils.marshaller(PublishStreamResponse.getDefaultInstance()))
            .build();

    /** The stream may be opened again after these. Any other status needs a person. */
    static final Set<Status.Code> TRANSIENT = Set.of(
        Status.Code.UNAVAILABLE, Status.Code.RESOURCE_EXHAUSTED, Status.Code.CANCELLED, Status.Code.INTERNAL, Status.Code.UNKNOWN);

    /** The events of one key, or one event without a key. */
    static final class Lane {
        final ByteString key; // null: none
        final Deque<Integer> todo = new ArrayDeque<>(); // in the order in which they are sent
        final List<Integer> failed = new ArrayList<>(); // to be sent again, once none is in flight
        int inFlight;
        long notBefore = System.nanoTime();

        Lane(ByteString key) {
            this.key = key;
        }

        boolean sendable(long now) {
            return !todo.isEmpty() && failed.isEmpty() && now - notBefore >= 0;
        }

        void answered(int number, boolean again, long delayNanos) {
            inFlight--;
            if (again) {
                failed.add(number);
                notBefore = Math.max(notBefore, System.nanoTime() + delayNanos);
            }
            if (!failed.isEmpty() && inFlight == 0) {
                failed.sort(Comparator.reverseOrder());
                failed.forEach(todo::addFirst);
                failed.clear();
            }
        }
    }

    record Sent(Lane lane, int number, int bytes) {}

    /** One call of PublishStream. The producer guards it. */
    final class Stream implements StreamObserver<PublishStreamResponse> {
        final Map<Long, Sent> sent = new HashMap<>(); // by seq
        Settings settings;
        long seq;
        long bytes;
        boolean closing; // this half is closed, or the call has ended
        StreamObserver<PublishStreamRequest> requests;

        @Override
        public void onNext(PublishStreamResponse response) {
            synchronized (Producer.this) {
                switch (response.getMessageCase()) {
                    case SETTINGS -> settings = response.getSettings();
                    case DRAIN -> {
                        drains++;
                        close();
                    }
                    case RESULT -> result(response.getResult());
                    default -> { }
                }
                send();
            }
        }

        /** Sends what may be sent. */
        void send() {
            long now = System.nanoTime();
            for (int asked = 0; requests != null && !closing && settings != null && sent.size() < settings.getMaxInFlight() && asked < lanes.size(); asked++) {
                Lane lane = lanes.get(turn);
                if (lane.sendable(now)) {
                    StreamEvent event = event(seq + 1, lane.key, lane.todo.getFirst());
                    int size = event.getSerializedSize();
                    if (!sent.isEmpty() && bytes + size > settings.getMaxInFlightBytes()) {
                        return;
                    }
                    sent.put(++seq, new Sent(lane, lane.todo.removeFirst(), size));
                    bytes += size;
                    lane.inFlight++;
                    requests.onNext(PublishStreamRequest.newBuilder().setEvent(event).build());
                    asked = -1;
                }
                turn = (turn + 1) % lanes.size();
            }
        }

        void result(Result result) {
            Sent s = sent.remove(result.getSeq());
            bytes -= s.bytes;
            int code = result.getStatus().getCode();
            if (code == Code.OK_VALUE || code == Code.INVALID_ARGUMENT_VALUE) {
                s.lane.answered(s.number, false, 0);
                rejected += code == Code.OK_VALUE ? 0 : 1;
                System.out.printf("{\"id\": \"event-%d\", \"outcome\": \"%s\"}%n", s.number, result.getOutcome());
                if (--left == 0) {
                    close();
                }
                return;
            }
            if (code != Code.UNAVAILABLE_VALUE && code != Code.RESOURCE_EXHAUSTED_VALUE) {
                fail("event-" + s.number + ": " + result.getStatus());
            }
            again++;
            s.lane.answered(s.number, true, retryDelay(result));
        }

        void close() {
            if (!closing) {
                requests.onCompleted();
            }
            closing = true;
        }

        @Override
        public void onCompleted() {
            ended(null);
        }

        @Override
        public void onError(Throwable error) {
            ended(error);
        }

        /** Makes the events without a result ready to be sent on the next stream. */
        void ended(Throwable error) {
            synchronized (Producer.this) {
                closing = true;
                sent.values().forEach(s -> s.lane.answered(s.number, true, 0));
                if (left == 0) {
                    done.countDown();
                    return;
                }
                if (error != null && !TRANSIENT.contains(Status.fromThrowable(error).getCode())) {
                    fail("the stream ended: " + error);
                }
                broken += error == null ? 0 : 1;
            }
            timer.schedule(Producer.this::open, 50, TimeUnit.MILLISECONDS);
        }
    }

    final ManagedChannel channel;
    final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    final CountDownLatch done = new CountDownLatch(1);
    final List<Lane> lanes = new ArrayList<>();
    int turn; // the lane that is asked next
    int left;
    int streams;
    int drains;
    int broken;
    int again;
    int rejected;
    Stream stream;

    Producer(ManagedChannel channel, int count) {
        this.channel = channel;
        left = count;
        for (int key = 0; key < KEYS; key++) {
            lanes.add(new Lane(ByteString.copyFromUtf8("key-" + key)));
        }
        for (int number = 0; number < count; number++) {
            Lane lane = number % 10 == 0 ? new Lane(null) : lanes.get(number % KEYS);
            if (lane.key == null) {
                lanes.add(lane);
            }
            lane.todo.add(number);
        }
    }

    static StreamEvent event(long seq, ByteString key, int number) {
        CloudEvent event = CloudEvent.newBuilder()
            .setId("event-" + number).setSource("/peer/java").setSpecVersion("1.0").setType("peer.counted")
            .putAttributes("datacontenttype", CloudEventAttributeValue.newBuilder().setCeString("application/json").build())
            .putAttributes("number", CloudEventAttributeValue.newBuilder().setCeInteger(number).build())
            .setBinaryData(ByteString.copyFromUtf8("{\"number\": " + number + "}"))
            .build();
        StreamEvent.Builder out = StreamEvent.newBuilder().setSeq(seq).setEvent(event);
        return key == null ? out.build() : out.setKey(key).build();
    }

    static long retryDelay(Result result) {
        try {
            for (Any detail : result.getStatus().getDetailsList()) {
                if (detail.is(RetryInfo.class)) {
                    var delay = detail.unpack(RetryInfo.class).getRetryDelay();
                    return TimeUnit.SECONDS.toNanos(delay.getSeconds()) + delay.getNanos();
                }
            }
        } catch (com.google.protobuf.InvalidProtocolBufferException e) {
            fail(e.toString());
        }
        fail("no RetryInfo: " + result);
        return 0;
    }

    static void fail(String why) {
        System.err.println(why);
        Runtime.getRuntime().halt(1);
    }

    synchronized void open() {
        streams++;
        stream = new Stream();
        stream.requests = ClientCalls.asyncBidiStreamingCall(channel.newCall(PUBLISH_STREAM, CallOptions.DEFAULT.withWaitForReady()), stream);
    }

    synchronized void tick() {
        stream.send(); // a lane may wait for its delay
    }

    public static void main(String[] args) throws InterruptedException {
        ManagedChannel channel = NettyChannelBuilder.forTarget(args[0]).usePlaintext().build();
        Producer p = new Producer(channel, Integer.parseInt(args[2]));
        p.open();
        p.timer.scheduleWithFixedDelay(p::tick, 20, 20, TimeUnit.MILLISECONDS);
        p.done.await();
        p.timer.shutdown();
        channel.shutdown();
        System.out.printf("{\"summary\": {\"streams\": %d, \"drains\": %d, \"broken\": %d, \"again\": %d, \"rejected\": %d}}%n",
            p.streams, p.drains, p.broken, p.again, p.rejected);
    }
}

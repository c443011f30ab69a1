import com.google.protobuf.Duration;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.protobuf.ProtoCloudEventData;
import io.cloudevents.protobuf.ProtobufFormat;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Writes the golden events with the SDK for Java, and prints those that Fiso wrote. */
public class Golden {
    static final ProtobufFormat FORMAT = new ProtobufFormat();

    static CloudEventBuilder least() {
        return CloudEventBuilder.v1().withId("1").withSource(URI.create("/shop")).withType("order.created");
    }

    public static void main(String[] args) throws Exception {
        Path golden = Path.of(args[0]);
        Map<String, CloudEvent> events = new HashMap<>();
        events.put("least", least().build());
        events.put("json", least().withSubject("customer 7").withTime(OffsetDateTime.parse("2026-01-31T12:00:00.123456789Z"))
            .withDataSchema(URI.create("https://example.com/order.json")).withDataContentType("application/json")
            .withExtension("tenant", "acme").withExtension("attempt", Integer.valueOf(-7)).withExtension("sampled", Boolean.TRUE)
            .withData("{\"total\":42.50,\"name\":\"Zoë\"}".getBytes(StandardCharsets.UTF_8)).build());
        events.put("types", least().withExtension("astring", "é").withExtension("aninteger", Integer.valueOf(Integer.MAX_VALUE))
            .withExtension("aboolean", Boolean.FALSE).withExtension("bytes", new byte[] {0, (byte) 0xff})
            .withExtension("auri", URI.create("https://example.com/a?b=c")).withExtension("auriref", URI.create("../a"))
            .withExtension("atime", OffsetDateTime.parse("1969-12-31T23:59:59.5Z")).build());
        events.put("text", least().withData("text/plain", "Grüße".getBytes(StandardCharsets.UTF_8)).build());
        events.put("binary", least().withData("application/octet-stream", new byte[] {0, (byte) 0xff}).build());
        events.put("xml", least().withData("application/xml", "<a>é</a>".getBytes(StandardCharsets.UTF_8)).build());
        Duration duration = Duration.newBuilder().setSeconds(90).setNanos(5).build();
        events.put("message", least().withDataContentType("application/protobuf")
            .withDataSchema(URI.create("type.googleapis.com/google.protobuf.Duration")).withData(ProtoCloudEventData.wrap(duration)).build());
        Files.createDirectories(golden.resolve("java"));
        for (Map.Entry<String, CloudEvent> e : events.entrySet()) {
            Files.write(golden.resolve("java").resolve(e.getKey() + ".binpb"), FORMAT.serialize(e.getValue()));
        }
        List<Path> ours = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(golden.resolve("fiso"))) {
            files.forEach(ours::add);
        }
        Collections.sort(ours);
        for (Path file : ours) {
            CloudEvent e = FORMAT.deserialize(Files.readAllBytes(file));
            StringBuilder line = new StringBuilder(file.getFileName().toString());
            line.append(" id=").append(e.getId()).append(" source=").append(e.getSource()).append(" type=").append(e.getType());
            line.append(" subject=").append(e.getSubject()).append(" time=").append(e.getTime()).append(" schema=").append(e.getDataSchema());
            line.append(" contenttype=").append(e.getDataContentType());
            List<String> names = new ArrayList<>(e.getExtensionNames());
            Collections.sort(names);
            for (String name : names) {
                line.append(' ').append(name).append('=').append(e.getExtension(name));
            }
            if (e.getData() instanceof ProtoCloudEventData) {
                line.append(" data=").append(((ProtoCloudEventData) e.getData()).getAny().unpack(Duration.class).toString().replace("\n", " "));
            } else if (e.getData() != null) {
                line.append(" data=").append(new String(e.getData().toBytes(), StandardCharsets.ISO_8859_1));
            }
            System.out.println(line);
        }
    }
}

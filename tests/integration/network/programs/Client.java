import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Fetch a URL with Java's own client. What goes wrong is one line. */
public class Client {
  public static void main(String[] arguments) throws Exception {
    try {
      HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
      System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    } catch (java.io.IOException error) {
      System.err.println("failed: " + error);
      System.exit(1);
    }
  }
}

// Calls one action through the gateway with the vendor's SDK for Java: com.tencentcloudapi:tencentcloud-sdk-java-common.
//
// usage: java -cp SDK.jar Call.java [ACTION]
//
// Not run here, because the SDK could not be fetched: a test lets the Java compiler parse this file, and its calls were
// compared with the source of the SDK. The environment names the key (TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY) and the
// host of the gateway (CAMGUARD_HOST, for example aiart.gateway.example). If the gateway's certificate is of a private
// authority, the option -Djavax.net.ssl.trustStore=FILE names the store that holds it.
import com.tencentcloudapi.common.CommonClient;
import com.tencentcloudapi.common.Credential;
import com.tencentcloudapi.common.exception.TencentCloudSDKException;
import com.tencentcloudapi.common.profile.ClientProfile;
import com.tencentcloudapi.common.profile.HttpProfile;

public class Call {
    public static void main(String[] args) {
        String action = args.length > 0 ? args[0] : "TextToImage";
        Credential key =
                new Credential(System.getenv("TENCENTCLOUD_SECRET_ID"), System.getenv("TENCENTCLOUD_SECRET_KEY"));
        HttpProfile http = new HttpProfile();
        http.setEndpoint(System.getenv("CAMGUARD_HOST"));
        ClientProfile settings = new ClientProfile();
        settings.setHttpProfile(http);
        CommonClient client = new CommonClient("aiart", "2022-12-29", key, "ap-guangzhou", settings);
        try {
            System.out.println(client.call(action, "{\"Prompt\": \"a lighthouse\"}"));
        } catch (TencentCloudSDKException error) { // a refusal of camguard, or of the cloud behind it
            System.err.println(error.getErrorCode() + " " + error.getRequestId() + "\n" + error.getMessage());
            System.exit(1);
        }
    }
}

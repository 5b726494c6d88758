// Calls one action through the gateway with the vendor's SDK for Go:
// go get github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common
//
// usage: go run call.go [ACTION]
//
// Not run here, because the SDK could not be fetched: a test lets gofmt read this file, and its calls were compared with the
// source of the SDK. The environment names the key (TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY), the host of the gateway
// (CAMGUARD_HOST, for example aiart.gateway.example) and, if the gateway's certificate is of a private authority, its file
// (SSL_CERT_FILE).
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

func main() {
	action := "TextToImage"
	if len(os.Args) > 1 {
		action = os.Args[1]
	}
	key := common.NewCredential(os.Getenv("TENCENTCLOUD_SECRET_ID"), os.Getenv("TENCENTCLOUD_SECRET_KEY"))
	settings := profile.NewClientProfile()
	settings.HttpProfile.Endpoint = os.Getenv("CAMGUARD_HOST")
	client := common.NewCommonClient(key, "ap-guangzhou", settings)

	request := tchttp.NewCommonRequest("aiart", "2022-12-29", action)
	if err := request.SetActionParameters(map[string]interface{}{"Prompt": "a lighthouse"}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	response := tchttp.NewCommonResponse()
	if err := client.Send(request, response); err != nil {
		var refused *tcerr.TencentCloudSDKError // a refusal of camguard, or of the cloud behind it
		if errors.As(err, &refused) {
			fmt.Fprintf(os.Stderr, "%s %s\n%s\n", refused.Code, refused.RequestId, refused.Message)
		} else {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	fmt.Println(string(response.GetBody()))
}

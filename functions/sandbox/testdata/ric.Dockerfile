# The Node.js client of AWS from npm, on the image of Node.js functions. Its own build makes a curl first, which takes minutes; its sources
# are compiled here with Debian's, unchanged.
FROM nuage/nodejs:1
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ libcurl4-openssl-dev libnode-dev >/dev/null
COPY *.tgz /src/
WORKDIR /src
RUN for p in aws-lambda-ric node-addon-api; do mkdir $p && tar xzf $p-*.tgz -C $p --strip-components=1; done \
 && mkdir cpp && tar xzf aws-lambda-ric/deps/aws-lambda-cpp-*.tar.gz -C cpp --strip-components=1 \
 && sed 's/@[A-Z_]*MAJOR@/0/; s/@[A-Z_]*MINOR@/2/; s/@[A-Z_]*PATCH@/8/; s/@[A-Z_]*@/0.2.8/' cpp/src/version.cpp.in >cpp/src/version.cpp \
 && g++ -O1 -shared -fPIC -DNODE_GYP_MODULE_NAME=rapid_client -DBUILDING_NODE_EXTENSION -I/usr/include/node -Inode-addon-api -Icpp/include \
    aws-lambda-ric/src/rapid-client.cc cpp/src/runtime.cpp cpp/src/logging.cpp cpp/src/version.cpp -lcurl -o aws-lambda-ric/dist/rapid-client.node \
 && mv aws-lambda-ric /opt && rm -r /src/*

#version 330 core
// What pyrender's own shader computes of a metallic-roughness material under directional lights (glTF 2.0, appendix B),
// at each vertex instead of each fragment: for surfaces whose faces are about as small as pixels.

layout(location = 0) in vec3 position;
layout(location = NORMAL_LOC) in vec3 normal;
layout(location = INST_M_LOC) in mat4 inst_m;

struct Material { vec4 base_color_factor; float metallic_factor; float roughness_factor; };
struct DirectionalLight { vec3 color; float intensity; vec3 direction; };

uniform mat4 M, V, P;
uniform vec3 cam_pos, ambient_light;
uniform Material material;
uniform DirectionalLight directional_lights[MAX_DIRECTIONAL_LIGHTS];
uniform int n_directional_lights;

out vec3 light;  // linear; the fragment shader encodes it

const float PI = 3.141592653589793;
const float DIELECTRIC = 0.04;  // what any material reflects of light from ahead

void main()
{
    vec4 world = M * inst_m * vec4(position, 1.0);
    gl_Position = P * V * world;

    vec3 n = normalize(mat3(M * inst_m) * normal);
    vec3 v = normalize(cam_pos - world.xyz);
    float nv = clamp(abs(dot(n, v)), 0.001, 1.0);

    vec3 base = material.base_color_factor.rgb;
    vec3 diffuse = base * (1.0 - DIELECTRIC) * (1.0 - material.metallic_factor) / PI;
    vec3 ahead = mix(vec3(DIELECTRIC), base, material.metallic_factor);
    float k = pow(material.roughness_factor + 1.0, 2.0) / 8.0;
    float a2 = pow(material.roughness_factor, 4.0);

    light = vec3(0.0);
    for (int i = 0; i < n_directional_lights; i++) {
        vec3 l = normalize(-directional_lights[i].direction);
        vec3 h = normalize(l + v);
        float nl = clamp(dot(n, l), 0.001, 1.0);
        float nh = clamp(dot(n, h), 0.0, 1.0);
        float vh = clamp(dot(v, h), 0.0, 1.0);
        vec3 fresnel = ahead + (1.0 - ahead) * pow(1.0 - vh, 5.0);
        float masking = nv / mix(nv, 1.0, k) * nl / mix(nl, 1.0, k);
        float facets = a2 / (PI * pow(nh * nh * (a2 - 1.0) + 1.0, 2.0));
        vec3 specular = fresnel * masking * facets / (4.0 * nl * nv + 0.001);
        vec3 radiance = directional_lights[i].intensity * directional_lights[i].color;
        light += nl * radiance * ((1.0 - fresnel) * diffuse + specular);
    }
    light += base * ambient_light;  // last, so that the order of two lights changes no bit
}

#version 330 core

in vec3 light;
out vec4 frag_color;

void main()
{
    frag_color = vec4(pow(min(light, 1.0), vec3(1.0 / 2.2)), 1.0);
}
